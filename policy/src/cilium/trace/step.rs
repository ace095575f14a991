//! Steps of a trace, as text and as JSON.

use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

use crate::cilium::compile::{Condition, Element, Rule};
use crate::cilium::exempt::Exemption;
use crate::cilium::question::Verdict;

/// What becomes of a packet, and the steps that lead there. The last step decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trace {
    /// What becomes of it.
    pub verdict: Verdict,
    /// What it has to do besides, if it is allowed.
    pub condition: Option<Condition>,
    /// Steps.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "step")]
pub enum Step {
    /// The datapath decides before policy is asked.
    Datapath {
        /// Why.
        exemption: Exemption,
    },
    /// Policy is not enforced, and why.
    NotEnforced {
        /// Why.
        why: String,
    },
    /// Who the peer is.
    Peer {
        /// Its address.
        address: IpAddr,
        /// Its identity, as number and labels.
        identity: String,
    },
    /// An element of a rule that selects the node.
    Element {
        /// The object.
        object: String,
        /// Where in it: `spec.ingress[0]`.
        path: String,
        /// Whether it denies.
        deny: bool,
        /// File and line of the object, if a user gave it.
        source: Option<String>,
        /// Whether it matches, and why.
        answer: Answer,
    },
    /// Nothing matches, and a rule turns on default deny.
    DefaultDeny {
        /// The object of the first such rule.
        object: String,
        /// Where in it.
        path: String,
        /// File and line of the object, if a user gave it.
        source: Option<String>,
    },
    /// Nothing matches, and `enable-policy` is `always`.
    AlwaysDeny,
    /// Nothing matches, and no rule turns on default deny.
    DefaultAllow,
    /// Denied packets are only reported.
    Audit,
}

/// Whether an element matches, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It does.
    Matches {
        /// The selector that selects the peer.
        peer: String,
        /// The aggregate identity through which it does, where its own labels do not.
        aggregate: Option<&'static str>,
        /// The port that matches; absent where the element is for every packet of its peers.
        port: Option<String>,
    },
    /// It does not.
    Misses(Miss),
}

/// Why an element does not match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Miss {
    /// It has an empty list of peers, or neither peers nor ports.
    Nobody,
    /// None of its selectors selects the peer.
    Peer(Vec<String>),
    /// None of its ports is that of the packet.
    Port(Vec<String>),
    /// The port of the packet has one of the names, but the peer is selected by way of its aggregate only, which has no named
    /// ports.
    NamesOfAggregate(Vec<String>),
}

impl Step {
    pub(super) fn element(rule: &Rule, element: &Element, answer: Answer) -> Self {
        Self::Element {
            object: rule.key.to_string(),
            path: element.path.clone(),
            deny: element.deny,
            source: source(rule),
            answer,
        }
    }

    pub(super) fn default_deny(rule: &Rule) -> Self {
        Self::DefaultDeny { object: rule.key.to_string(), path: rule.path.clone(), source: source(rule) }
    }
}

fn source(rule: &Rule) -> Option<String> {
    rule.source.as_ref().map(|source| format!("{}:{}", source.file, source.line))
}

/// ` (file:line)`, or nothing.
fn place(source: Option<&String>) -> String {
    source.map(|source| format!(" ({source})")).unwrap_or_default()
}

impl fmt::Display for Trace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(formatter, "{step}")?;
        }
        write!(formatter, "{}", self.verdict)?;
        match self.condition {
            Some(Condition::Authentication) => formatter.write_str(", once mutual authentication has succeeded"),
            Some(Condition::Proxy) => formatter.write_str(", through the agent's proxy"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Datapath { exemption } => exemption.fmt(formatter),
            Self::NotEnforced { why } => write!(formatter, "policy is not enforced: {why}"),
            Self::Peer { address, identity } => write!(formatter, "peer {address} is {identity}"),
            Self::Element { object, path, deny, source, answer } => {
                write!(formatter, "{object} {path}{} ", place(source.as_ref()))?;
                match answer {
                    Answer::Matches { peer, aggregate, port } => {
                        write!(formatter, "{} {peer}", if *deny { "denies" } else { "allows" })?;
                        if let Some(aggregate) = aggregate {
                            write!(formatter, ", which takes in the peer by way of {aggregate}")?;
                        }
                        match port {
                            Some(port) => write!(formatter, ", {port}"),
                            None => Ok(()),
                        }
                    }
                    Answer::Misses(Miss::Nobody) => formatter.write_str("matches nobody"),
                    Answer::Misses(Miss::Peer(selectors)) => {
                        write!(formatter, "is for other peers: {}", selectors.join("; "))
                    }
                    Answer::Misses(Miss::Port(ports)) if ports.is_empty() => {
                        formatter.write_str("names no port, and so matches nothing")
                    }
                    Answer::Misses(Miss::Port(ports)) => write!(formatter, "is for other ports: {}", ports.join(", ")),
                    Answer::Misses(Miss::NamesOfAggregate(ports)) => write!(
                        formatter,
                        "means {} only of those whom it selects by their own labels",
                        ports.join(", ")
                    ),
                }
            }
            Self::DefaultDeny { object, path, source } => {
                let place = place(source.as_ref());
                write!(formatter, "nothing allows it, and {object} {path}{place} turns on default deny")
            }
            Self::AlwaysDeny => formatter.write_str("nothing allows it, and enable-policy is always"),
            Self::DefaultAllow => formatter.write_str("nothing denies it, and no rule turns on default deny"),
            Self::Audit => formatter.write_str("policy-audit-mode only reports what policy denies"),
        }
    }
}
