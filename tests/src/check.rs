//! Upstream's own judgement of single objects: would Calico's client library store it, would Cilium's agent use it?

use std::process::Command;

use serde_json::Value;

use crate::Result;
use crate::line_server::LineServer;
use parts::{Program, program};

/// A long-lived checker process. It ends with this value.
#[derive(Debug)]
pub struct Checker(LineServer);

/// What upstream says about one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is accepted.
    Accepted,
    /// It does not decode into upstream's type: a field is unknown, or of another type.
    Undecodable(String),
    /// It decodes, and is refused for what it says.
    Invalid(String),
}

/// Options of the Cilium agent that decide what is valid. The default is the agent's.
#[derive(Debug, Clone, Default)]
pub struct CiliumOptions {
    /// `enable-node-selector-labels`: `fromNodes` and `toNodes` are allowed.
    pub node_selector_labels: bool,
    /// `enable-extended-ip-protocols`: VRRP, IGMP, GRE and the like, and rules without a port, are allowed.
    pub extended_ip_protocols: bool,
    /// `policy-cidr-match-mode`, for example `nodes`.
    pub cidr_match_mode: Vec<String>,
}

impl Checker {
    /// Calico's validator, for objects of `projectcalico.org/v3`.
    ///
    /// # Errors
    /// When it cannot be built or started.
    pub fn calico() -> Result<Self> {
        LineServer::start("calico-check", &mut Command::new(program(Program::CalicoCheck)?)).map(Self)
    }

    /// Cilium's parser, for CiliumClusterwideNetworkPolicy and CiliumCIDRGroup of `cilium.io/v2`.
    ///
    /// # Errors
    /// When it cannot be built or started.
    pub fn cilium(options: &CiliumOptions) -> Result<Self> {
        let mut command = Command::new(program(Program::CiliumCheck)?);
        command
            .arg(format!("--enable-node-selector-labels={}", options.node_selector_labels))
            .arg(format!("--enable-extended-ip-protocols={}", options.extended_ip_protocols));
        if !options.cidr_match_mode.is_empty() {
            command.arg(format!("--policy-cidr-match-mode={}", options.cidr_match_mode.join(",")));
        }
        LineServer::start("cilium-check", &mut command).map(Self)
    }

    /// Asks about one object, in JSON as the API server would get it.
    ///
    /// # Errors
    /// When the checker is gone or says something that is not an answer.
    pub fn check(&self, object: &Value) -> Result<Verdict> {
        // JSON from serde_json has no line breaks of its own.
        let line = self.0.ask(&object.to_string())?;
        let answer: Value = serde_json::from_str(&line).map_err(|_| self.0.odd(&line))?;
        let text = answer["error"].as_str().ok_or_else(|| self.0.odd(&line))?.to_owned();
        Ok(match answer["stage"].as_str() {
            _ if text.is_empty() => Verdict::Accepted,
            Some("decode") => Verdict::Undecodable(text),
            _ => Verdict::Invalid(text),
        })
    }

    /// The process id.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.0.process_id()
    }
}
