//! What the caller decides about the Calico output.

use std::fmt;

use crate::finding::Finding;
use crate::finding::codes::calico as codes;

/// Settings of one rendering.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// API group that is written.
    pub api: Api,
    /// Version of Calico that will read the objects; 3.29 to 3.32 are known.
    pub version: Version,
    /// Dataplane of Felix; unknown means that only what every dataplane can do is written.
    pub dataplane: Option<Dataplane>,
    /// Name of the tier. It is ours alone: the built-in tiers are refused.
    pub tier: String,
    /// Order of the tier; lower is earlier, Calico's own `default` tier is at 1,000,000.
    pub tier_order: f64,
    /// Order of the first policy in the tier; the others follow in steps of 10.
    pub order_base: f64,
    /// Beginning of every object's name: a DNS label of at most 63 characters.
    pub name_prefix: String,
    /// Where the failsafe ports come from.
    pub failsafe: Failsafe,
    /// Whether the caller counts on a way in over the network. `false` is the caller's word that there is another.
    pub admin_path: bool,
    /// Who makes the host endpoints.
    pub host_endpoints: HostEndpoints,
}

impl Options {
    /// The defaults, for a matrix of this name.
    pub fn new(name_prefix: impl Into<String>) -> Self {
        Self {
            api: Api::V3,
            version: Version { major: 3, minor: 31 },
            dataplane: None,
            tier: "lifeline".to_owned(),
            tier_order: 100.0,
            order_base: 100.0,
            name_prefix: name_prefix.into(),
            failsafe: Failsafe::Matrix,
            admin_path: true,
            host_endpoints: HostEndpoints::Auto,
        }
    }

    /// What is wrong with the settings alone.
    pub(super) fn check(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.version.major != 3 || !(29..=32).contains(&self.version.minor) {
            let message = format!("Calico {} is not known; 3.29 to 3.32 are", self.version);
            findings.push(
                Finding::new(&codes::CALICO_VERSION_UNSUPPORTED, message)
                    .help("state the version that runs in the cluster with `--calico-version`"),
            );
        }
        if RESERVED_TIERS.contains(&self.tier.as_str()) {
            let message = format!("the tier `{}` belongs to Calico", self.tier);
            findings
                .push(Finding::new(&codes::CALICO_OPTION_REFUSED, message).help("choose another name with `--tier`"));
        } else if !is_dns_label(&self.tier) {
            let message = format!("`{}` is not a name for a tier", self.tier);
            findings.push(Finding::new(&codes::CALICO_OPTION_REFUSED, message).help(DNS_LABEL));
        }
        if !is_dns_label(&self.name_prefix) {
            let message = format!("`{}` cannot begin an object's name", self.name_prefix);
            findings.push(Finding::new(&codes::CALICO_OPTION_REFUSED, message).help(DNS_LABEL));
        }
        for (what, order) in [("tier", self.tier_order), ("first policy", self.order_base)] {
            if !order.is_finite() || order.abs() > 1e9 {
                let message = format!("{order} is not an order for the {what}");
                findings.push(
                    Finding::new(&codes::CALICO_OPTION_REFUSED, message)
                        .help("give a number between -1,000,000,000 and 1,000,000,000"),
                );
            }
        }
        if self.failsafe == Failsafe::None && self.admin_path {
            findings.push(
                Finding::new(
                    &codes::FAILSAFE_NONE_REFUSED,
                    "no failsafe ports were asked for, and no other way in stated",
                )
                .help("add `--no-admin-path` if consoles or out-of-band management reach every node"),
            );
        }
        findings
    }
}

const DNS_LABEL: &str = "use lower-case letters, digits and dashes, at most 63, not beginning or ending with a dash";

/// Tiers that Calico makes, and two prefixes that it reads as something else than a tier
/// (projectcalico/calico:libcalico-go/lib/names/policy.go).
const RESERVED_TIERS: [&str; 11] = [
    "default",
    "kube-admin",
    "kube-baseline",
    "adminnetworkpolicy",
    "baselineadminnetworkpolicy",
    "calico-system",
    "allow-tigera",
    "knp",
    "kanp",
    "kbanp",
    "ossg",
];

fn is_dns_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// API group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// `projectcalico.org/v3`: Calico's API server, or native CRDs.
    V3,
    /// `crd.projectcalico.org/v1`: the custom resources behind it.
    V1,
}

/// Version of Calico.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 3.
    pub major: u32,
    /// 29 to 32 are known.
    pub minor: u32,
}

impl Version {
    /// Whether automatic host endpoints can be made from templates (3.30).
    pub(super) fn has_templates(self) -> bool {
        self >= Self { major: 3, minor: 30 }
    }

    /// Whether a template can name interfaces (3.31).
    pub(super) fn has_interface_patterns(self) -> bool {
        self >= Self { major: 3, minor: 31 }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

/// What enforces the policies in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dataplane {
    /// iptables.
    Iptables,
    /// nftables.
    Nftables,
    /// eBPF.
    Ebpf,
}

/// Where the failsafe ports come from: what every host endpoint admits before any policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failsafe {
    /// Computed from the lifelines of the matrix.
    Matrix,
    /// Calico's own lists, written out.
    Default,
    /// Nothing is written; Calico's own lists are assumed in the report.
    Keep,
    /// Empty lists. Needs [`Options::admin_path`] to be false.
    None,
}

/// Who makes the host endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostEndpoints {
    /// calico-kube-controllers, for every node that is or will be.
    Auto,
    /// They are in the output, one for each given node or interface.
    Written,
    /// Somebody else.
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(options: &Options) -> Vec<&'static str> {
        options.check().iter().map(|finding| finding.code.id).collect()
    }

    #[test]
    fn the_defaults_are_fine() {
        assert!(refused(&Options::new("harvester")).is_empty());
    }

    #[test]
    fn versions_outside_3_29_to_3_32_are_refused() {
        for (major, minor, fine) in [(3, 28, false), (3, 29, true), (3, 32, true), (3, 33, false), (4, 30, false)] {
            let options = Options { version: Version { major, minor }, ..Options::new("a") };
            assert_eq!(refused(&options).is_empty(), fine, "{major}.{minor}");
        }
    }

    #[test]
    fn tiers_that_calico_owns_or_misreads_are_refused() {
        for tier in ["default", "kube-admin", "ossg", "knp", "Lifeline", "a.b", "", "-a"] {
            let options = Options { tier: tier.to_owned(), ..Options::new("a") };
            assert_eq!(refused(&options), ["calico-option-refused"], "{tier}");
        }
    }

    #[test]
    fn orders_must_be_numbers() {
        let options = Options { tier_order: f64::NAN, order_base: f64::INFINITY, ..Options::new("a") };
        assert_eq!(refused(&options), ["calico-option-refused", "calico-option-refused"]);
    }

    #[test]
    fn no_failsafes_need_another_way_in() {
        let options = Options { failsafe: Failsafe::None, ..Options::new("a") };
        assert_eq!(refused(&options), ["failsafe-none-refused"]);
        assert!(refused(&Options { admin_path: false, ..options }).is_empty());
    }
}
