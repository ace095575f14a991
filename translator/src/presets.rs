//! The matrices inside the binary.

use std::sync::LazyLock;

/// A matrix inside the binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// What it is called, such as `harvester`.
    pub name: &'static str,
    /// The matrix, as YAML.
    pub text: &'static str,
    /// One line about it: the first comment of the text.
    pub summary: &'static str,
}

/// The presets by the names of their files, sorted.
macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../presets/", $name, ".yaml")))),*]
    };
}

static PRESETS: LazyLock<Vec<Preset>> = LazyLock::new(|| {
    let files: Vec<(&str, &str)> = files![
        "aks",
        "eks",
        "gke",
        "harvester",
        "k0s",
        "k3s",
        "kubeadm",
        "lke",
        "microk8s",
        "openshift",
        "rke2",
        "talos",
    ]
    .into();
    files.into_iter().map(|(name, text)| Preset { name, text, summary: summary(text) }).collect()
});

/// Every preset, sorted by name.
pub fn all() -> &'static [Preset] {
    &PRESETS
}

/// The preset of this name.
pub fn find(name: &str) -> Option<&'static Preset> {
    all().iter().find(|preset| preset.name == name)
}

/// The first line of a text, if it is a comment.
fn summary(text: &'static str) -> &'static str {
    text.lines().next().and_then(|line| line.strip_prefix('#')).map_or("", str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_directory_is_a_preset() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/presets");
        let mut files: Vec<String> = std::fs::read_dir(directory)
            .into_iter()
            .flatten()
            .map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8"))
            .collect();
        files.sort();
        let listed: Vec<String> = all().iter().map(|preset| format!("{}.yaml", preset.name)).collect();
        assert_eq!(files, listed, "list every file of presets/ in src/presets.rs, by name");
    }

    #[test]
    fn every_preset_says_in_one_line_what_it_is() {
        for preset in all() {
            assert!(!preset.summary.is_empty(), "{}: the first line is `# what it is`", preset.name);
        }
    }
}
