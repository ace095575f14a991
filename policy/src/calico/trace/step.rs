//! What a trace says.

use std::fmt;

use serde::Serialize;

use crate::calico::question::Conntrack;
use crate::snapshot::Key;

/// What the node does with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// A policy, a profile, a failsafe port or Calico itself accepts it.
    Allow,
    /// It is dropped.
    Deny,
    /// No policy is asked about it, and so it passes.
    NotJudged,
}

impl Verdict {
    /// Whether the packet passes.
    pub fn passes(self) -> bool {
        self != Self::Deny
    }
}

/// The steps of one packet; the last one decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    /// What became of it.
    pub verdict: Verdict,
    /// State that connection tracking gave it. A packet that is dropped before counts as new.
    pub conntrack: Conntrack,
    /// The steps.
    pub steps: Vec<Step>,
}

impl Trace {
    /// The step that decided.
    pub fn decision(&self) -> Option<&Step> {
        self.steps.last()
    }
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Where in the kernel.
    pub hook: Hook,
    /// What was asked.
    pub stage: Stage,
    /// The object that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<Key>,
    /// Index of the rule, in the direction's list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<usize>,
    /// What came of it.
    pub outcome: Outcome,
    /// Why.
    pub reason: String,
}

/// A place in the kernel where Calico has chains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    /// Before connection tracking, arriving.
    RawPrerouting,
    /// Before destination NAT, arriving.
    ManglePrerouting,
    /// For the host.
    Input,
    /// Before connection tracking, from the host.
    RawOutput,
    /// From the host.
    Output,
    /// Through the host.
    Forward,
    /// Leaving, after destination NAT.
    ManglePostrouting,
    /// The eBPF program before everything else.
    Xdp,
    /// The eBPF program of packets that enter through an interface.
    TcIngress,
    /// The eBPF program of packets that leave through an interface.
    TcEgress,
}

impl Hook {
    /// Whether eBPF programs look at rules there, and not chains.
    pub(super) fn is_program(self) -> bool {
        matches!(self, Self::Xdp | Self::TcIngress | Self::TcEgress)
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::RawPrerouting => "raw PREROUTING",
            Self::ManglePrerouting => "mangle PREROUTING",
            Self::Input => "filter INPUT",
            Self::RawOutput => "raw OUTPUT",
            Self::Output => "filter OUTPUT",
            Self::Forward => "filter FORWARD",
            Self::ManglePostrouting => "mangle POSTROUTING",
            Self::Xdp => "XDP",
            Self::TcIngress => "tc ingress",
            Self::TcEgress => "tc egress",
        })
    }
}

/// What a step asks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// Connection tracking.
    Conntrack,
    /// Which host endpoint governs the interface.
    Endpoint,
    /// Ports that policy cannot close.
    Failsafe,
    /// Tunnels of the overlay.
    Tunnel,
    /// Traffic of pods.
    Workload,
    /// Policies of a tier.
    Tier(String),
    /// The end of a tier.
    EndOfTier(String),
    /// A profile.
    Profile(String),
    /// What is left at the end of a chain.
    End,
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conntrack => formatter.write_str("conntrack"),
            Self::Endpoint => formatter.write_str("host endpoint"),
            Self::Failsafe => formatter.write_str("failsafe ports"),
            Self::Tunnel => formatter.write_str("tunnel"),
            Self::Workload => formatter.write_str("pod traffic"),
            Self::Tier(name) => write!(formatter, "tier {name}"),
            Self::EndOfTier(name) => write!(formatter, "end of tier {name}"),
            Self::Profile(name) => write!(formatter, "profile {name}"),
            Self::End => formatter.write_str("end"),
        }
    }
}

/// What comes of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It accepts.
    Accept,
    /// It drops.
    Drop,
    /// It leaves the tier or the profile.
    Pass,
    /// It writes a line, and the packet goes on.
    Log,
    /// It does not match, and the packet goes on.
    NoMatch,
    /// Nothing is decided here.
    Continue,
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Accept => "accept",
            Self::Drop => "drop",
            Self::Pass => "pass",
            Self::Log => "log",
            Self::NoMatch => "no match",
            Self::Continue => "continue",
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}, {}", self.hook, self.stage)?;
        if let Some(key) = &self.object {
            write!(formatter, ", {key}")?;
        }
        if let Some(rule) = self.rule {
            write!(formatter, " rule {rule}")?;
        }
        write!(formatter, ": {}", self.outcome)?;
        if self.reason.is_empty() { Ok(()) } else { write!(formatter, " ({})", self.reason) }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(formatter, "{step}")?;
        }
        formatter.write_str(match self.verdict {
            Verdict::Allow => "allow",
            Verdict::Deny => "deny",
            Verdict::NotJudged => "not judged",
        })
    }
}
