//! Writes the templates of the Helm chart anew.

use std::path::Path;
use std::process::ExitCode;

use tests::chart::{TEMPLATES, templates};

fn main() -> ExitCode {
    match templates().map_err(|error| error.to_string()).and_then(|files| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(TEMPLATES);
        for (name, text) in files {
            let path = folder.join(name);
            std::fs::write(&path, text).map_err(|error| format!("could not write {}: {error}", path.display()))?;
        }
        Ok(())
    }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chart: {error}");
            ExitCode::FAILURE
        }
    }
}
