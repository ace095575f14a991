//! Which labels of a node or pod Cilium keeps (cilium/cilium:pkg/labelsfilter/filter.go).
//!
//! A policy sees only the labels that pass this filter. A selector on a label that does not pass matches nothing, and
//! with `NotIn` or `DoesNotExist` it matches everything; neither is reported by Cilium.

use std::collections::HashMap;

use regex_lite::Regex;

/// Source of labels that Kubernetes objects carry.
pub const K8S: &str = "k8s";
/// Source of labels of other nodes.
pub const NODE: &str = "node";

/// Prefixes that are dropped, or kept against a shorter dropped one, without any configuration.
const DEFAULTS: &[&str] = &[
    "reserved:.*",
    r"io\.kubernetes\.pod\.namespace",
    r"io\.cilium\.k8s\.namespace\.labels",
    r"app\.kubernetes\.io",
    r"io\.cilium\.k8s\.policy\.cluster",
    r"io\.cilium\.k8s\.policy\.serviceaccount",
    r"!io\.kubernetes",
    r"!kubernetes\.io",
    r"!statefulset\.kubernetes\.io/pod-name",
    r"!apps\.kubernetes\.io/pod-index",
    r"!batch\.kubernetes\.io/job-completion-index",
    r"!batch\.kubernetes\.io/controller-uid",
    r"!.*beta\.kubernetes\.io",
    r"!k8s\.io",
    "!pod-template-generation",
    "!pod-template-hash",
    "!controller-revision-hash",
    "!controller-uid",
    "!annotation.*",
    "!etcd_node",
];

/// Dropped as well from 1.19 on.
const TOPOLOGY: &str = r"!topology\.kubernetes\.io";

/// Decides which labels take part in policies.
#[derive(Clone, Debug, Default)]
pub struct LabelFilter {
    patterns: Vec<Pattern>,
    /// Some pattern of the configuration is inclusive, so what none includes is dropped.
    inclusive: bool,
    excluded: Vec<Regex>,
}

#[derive(Clone, Debug)]
struct Pattern {
    ignore: bool,
    source: String,
    expression: Regex,
}

/// A filter for labels of one source, asked once about each key.
#[derive(Debug)]
pub(super) struct KeptKeys {
    filter: LabelFilter,
    source: &'static str,
    known: HashMap<String, bool>,
}

/// A pattern that is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is not a label pattern: {reason}")]
pub struct PatternError {
    /// What was written.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

impl LabelFilter {
    /// The filter of an agent without configuration: what decides the labels of hosts and pods.
    ///
    /// `topology` says whether `topology.kubernetes.io` labels are dropped, as they are from 1.19 on.
    pub fn with_defaults(topology: bool) -> Self {
        let mut filter = Self::default();
        for pattern in DEFAULTS.iter().copied().chain(topology.then_some(TOPOLOGY)) {
            filter.patterns.extend(Pattern::parse(pattern));
        }
        filter
    }

    /// Adds a pattern of `labels` or `node-labels`: `[source:][!]regular expression`, where `!` drops what matches.
    ///
    /// # Errors
    ///
    /// It is empty or not a regular expression.
    pub fn add(&mut self, pattern: &str) -> Result<(), PatternError> {
        let parsed = Pattern::parse(pattern)?;
        self.inclusive |= !parsed.ignore;
        self.patterns.push(parsed);
        Ok(())
    }

    /// Adds a pattern of `exclude-node-label-patterns`: a regular expression found anywhere in the key.
    ///
    /// # Errors
    ///
    /// It is not a regular expression.
    pub fn exclude(&mut self, pattern: &str) -> Result<(), PatternError> {
        self.excluded.push(expression(pattern, pattern)?);
        Ok(())
    }

    /// Whether a label with this source and key is kept.
    ///
    /// The longest inclusive match must be longer than the shortest ignoring one; without inclusive patterns it is
    /// enough that none ignores the label.
    pub fn keeps(&self, source: &str, key: &str) -> bool {
        if self.excluded.iter().any(|expression| expression.is_match(key)) {
            return false;
        }
        let mut included = 0;
        let mut ignored = 0;
        for (ignore, length) in self.patterns.iter().filter_map(|pattern| pattern.matched(source, key)) {
            if !ignore {
                included = included.max(length);
            } else if ignored == 0 || length < ignored {
                ignored = length;
            }
        }
        (!self.inclusive && ignored == 0) || included > ignored
    }
}

impl KeptKeys {
    pub(super) fn new(filter: LabelFilter, source: &'static str) -> Self {
        Self { filter, source, known: HashMap::new() }
    }

    /// Whether a label with this key is kept.
    pub(super) fn keep(&mut self, key: &str) -> bool {
        if let Some(known) = self.known.get(key) {
            return *known;
        }
        let keeps = self.filter.keeps(self.source, key);
        self.known.insert(key.to_owned(), keeps);
        keeps
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, PatternError> {
        let (source, rest) = text.split_once(':').unwrap_or(("", text));
        let (ignore, prefix) = match rest.strip_prefix('!') {
            Some(prefix) => (true, prefix),
            None => (false, rest),
        };
        if rest.is_empty() {
            return Err(PatternError { pattern: text.to_owned(), reason: "it is empty".to_owned() });
        }
        Ok(Self { ignore, source: source.to_owned(), expression: expression(text, prefix)? })
    }

    /// Whether it ignores, and how much of the key it matches. The leftmost match must start the key.
    fn matched(&self, source: &str, key: &str) -> Option<(bool, usize)> {
        if !self.source.is_empty() && self.source != source {
            return None;
        }
        let found = self.expression.find(key)?;
        (found.start() == 0).then_some((self.ignore, found.end()))
    }
}

fn expression(pattern: &str, text: &str) -> Result<Regex, PatternError> {
    Regex::new(text).map_err(|error| PatternError { pattern: pattern.to_owned(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(patterns: &[&str]) -> LabelFilter {
        let mut filter = LabelFilter::with_defaults(true);
        for pattern in patterns {
            filter.add(pattern).expect(pattern);
        }
        filter
    }

    #[test]
    fn the_defaults_keep_roles_and_drop_what_changes_with_every_node() {
        let filter = filter(&[]);
        for key in
            ["node-role.kubernetes.io/control-plane", "node.kubernetes.io/instance-type", "example.com/pool", "a"]
        {
            assert!(filter.keeps(K8S, key), "{key}");
        }
        for key in [
            "kubernetes.io/hostname",
            "kubernetes.io/os",
            "topology.kubernetes.io/zone",
            "beta.kubernetes.io/arch",
            "failure-domain.beta.kubernetes.io/zone",
            "etcd_node",
            "pod-template-hash",
        ] {
            assert!(!filter.keeps(K8S, key), "{key}");
        }
        assert!(filter.keeps(K8S, "app.kubernetes.io/name"));
        assert!(filter.keeps(K8S, "io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name"));
    }

    #[test]
    fn topology_is_dropped_from_1_19_on() {
        assert!(LabelFilter::with_defaults(false).keeps(K8S, "topology.kubernetes.io/zone"));
    }

    #[test]
    fn one_inclusive_pattern_drops_everything_it_does_not_name() {
        let filter = filter(&["k8s:app", "k8s:io\\.kubernetes\\.pod\\.namespace"]);
        assert!(!filter.keeps(K8S, "node-role.kubernetes.io/control-plane"));
        assert!(filter.keeps(K8S, "app"));
        assert!(filter.keeps(K8S, "app.kubernetes.io/name"), "included by default");
    }

    #[test]
    fn the_longer_inclusive_match_wins_over_the_shorter_ignoring_one() {
        let filter = filter(&["kubernetes\\.io/hostname"]);
        assert!(filter.keeps(K8S, "kubernetes.io/hostname"));
        assert!(!filter.keeps(K8S, "kubernetes.io/os"));
    }

    #[test]
    fn a_source_limits_a_pattern_and_a_match_further_on_does_not_count() {
        let filter = filter(&["node:!example", "!com/pool"]);
        assert!(filter.keeps(K8S, "example.com/pool"));
        assert!(!filter.keeps(NODE, "example.com/pool"));
    }

    #[test]
    fn excluded_patterns_match_anywhere() {
        let mut filter = LabelFilter::with_defaults(true);
        filter.exclude("control-plane$").expect("valid");
        assert!(!filter.keeps(K8S, "node-role.kubernetes.io/control-plane"));
        assert!(filter.keeps(K8S, "node-role.kubernetes.io/worker"));
    }

    #[test]
    fn what_is_not_a_pattern_is_named() {
        assert_eq!(LabelFilter::default().add("k8s:").expect_err("empty").reason, "it is empty");
        assert_eq!(LabelFilter::default().add("(").expect_err("open").pattern, "(");
        assert!(LabelFilter::default().exclude("[").is_err());
    }
}
