//! Programs that the chores need and Cargo does not bring.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::run::{Outcome, aside, finish, run, succeeds, workspace};

/// A program, how to ask it whether it is there, and the Debian packages that bring it.
struct SystemTool {
    program: &'static str,
    probe: &'static str,
    packages: &'static [&'static str],
}

const SYSTEM_TOOLS: [SystemTool; 5] = [
    // The TLS library beneath the test certificates is partly C.
    SystemTool { program: "cc", probe: "--version", packages: &["gcc", "libc6-dev"] },
    // Felix rules the kernel's packet filter with these.
    SystemTool { program: "ip", probe: "-V", packages: &["iproute2"] },
    SystemTool { program: "nft", probe: "--version", packages: &["nftables"] },
    SystemTool { program: "iptables", probe: "--version", packages: &["iptables"] },
    SystemTool { program: "ipset", probe: "--version", packages: &["ipset"] },
];

const CARGO_DENY: &str = "0.20.2";

/// Makes sure that every system tool is there: installs it where that is possible, and says how where it is not.
///
/// Go is not among them. Whoever needs it says so itself, because Debian's is too old.
pub(crate) fn require_system_tools() -> Outcome {
    let missing: Vec<_> = SYSTEM_TOOLS
        .iter()
        .filter(|tool| !succeeds(tool.program, &[tool.probe]))
        .flat_map(|tool| tool.packages)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let install =
        [&["install", "--yes", "--no-install-recommends"], missing.into_iter().copied().collect::<Vec<_>>().as_slice()]
            .concat();
    if !(is_root() && succeeds("apt-get", &["--version"])) {
        return Err(format!("some system tools are missing; on Debian run: sudo apt-get {}", install.join(" ")));
    }
    run("apt-get", &["update"])?;
    let mut apt = crate::run::command("apt-get", &install);
    finish(apt.env("DEBIAN_FRONTEND", "noninteractive"))
}

/// The path of cargo-deny, installed into `target/tools/` first if it is not there in the right version.
pub(crate) fn cargo_deny() -> Result<PathBuf, String> {
    let root = workspace().join("target/tools").join(format!("cargo-deny-{CARGO_DENY}"));
    let program = root.join("bin/cargo-deny");
    if !program.is_file() {
        let root = root.to_string_lossy();
        // Not optimized: it runs for a second and would compile for minutes more.
        aside("cargo", &["install", "--locked", "--debug", "cargo-deny", "--version", CARGO_DENY, "--root", &root])?;
    }
    Ok(program)
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
