//! What the caller states beside the matrix.

/// Settings of one expansion.
#[derive(Clone, Debug, std::default::Default)]
pub struct Settings {
    /// `--set name=value`, in the order given; the last one counts.
    pub set: Vec<(String, String)>,
    /// `--addon name=on|off`.
    pub addons: Vec<(String, bool)>,
    /// `--assume fact=value`: facts that the matrix leaves open.
    pub assume: Vec<(String, String)>,
    /// The CNI that is written for: the value of `detect: outputCNI`.
    pub cni: Option<String>,
    /// A way in from outside may be missing (`--no-admin-path`).
    pub no_admin_path: bool,
}
