//! Felix itself, in network namespaces of the test's own, with the kernel's packet filter beneath it: what becomes of a packet
//! is found out by sending it.
//!
//! A [`Rig`] has a control plane (API server, store, Calico's API server) and one Felix for each packet filter. The cases are
//! those of [`crate::verdicts::calico`].

pub mod compare;
mod marker;
mod objects;
mod process;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use policy::calico::settings::Dataplane;
use serde_json::{Value, json};

use crate::calico_apiserver::CalicoApiserver;
use crate::cluster::{Cluster, CrdSet};
use crate::verdicts::calico::{Answer, Case, CaseInterface, Invalid};
use crate::{Error, Result};
use objects::Api;
use parts::Doing;
use parts::{Program, program};
use process::{NodeSetup, Operation, Process, Request, Response, Setup, Sync};

/// Interfaces of the rig besides `lo`; the last one has the prefix of Felix' workload interfaces.
pub const INTERFACES: [&str; 5] = ["eth0", "eth1", "eth2", "mgmt-br", "cali0"];

/// Lines of Felix' log that an error quotes.
const QUOTED_LINES: usize = 25;

/// The kind of Felix' settings.
const CONFIGURATION: &str = "FelixConfiguration";

/// How long Felix may take. On two busy cores a second is common.
const PATIENCE_SECONDS: u64 = 60;

/// A control plane, and a Felix for each packet filter. All of it ends with the value.
#[derive(Debug)]
pub struct Rig {
    // Dropped in this order: Felix goes before what it is connected to.
    process: Process,
    _calico: CalicoApiserver,
    cluster: Cluster,
    dataplanes: Vec<Dataplane>,
    generation: u16,
    running: Option<Running>,
    /// Whether the store holds the configuration that Felix runs with, all of it.
    configured: bool,
    interfaces: Vec<CaseInterface>,
    nodes: Vec<String>,
}

/// What Felix was started with, and cannot change without being started anew.
#[derive(Clone, Debug, PartialEq)]
struct Running {
    node: String,
    env: BTreeMap<String, String>,
    configuration: Vec<Value>,
    dataplanes: Vec<Dataplane>,
}

impl Rig {
    /// Starts everything but Felix, which needs a case.
    ///
    /// # Errors
    ///
    /// When a part cannot be had or does not start.
    pub fn start(dataplanes: &[Dataplane]) -> Result<Self> {
        let cluster = Cluster::start(&[CrdSet::CalicoV1])?;
        let calico = CalicoApiserver::start(&cluster)?;
        let kubeconfig = felix_kubeconfig(&cluster)?;
        let nodes = dataplanes
            .iter()
            .map(|&dataplane| NodeSetup { name: name(dataplane).to_owned(), env: environment(dataplane, &kubeconfig) });
        let interfaces = INTERFACES.map(|name| CaseInterface { name: name.to_owned(), addrs: Vec::new() });
        let setup = Setup {
            api: &cluster.kubeconfig("rig", &["system:masters"])?,
            felix: &program(Program::Felix)?,
            directory: cluster.scratch().path(),
            nodes: nodes.collect(),
            interfaces: interfaces.into_iter().chain([marker::interface()]).collect(),
        };
        let process = Process::start(&setup)?;
        let rig = Self {
            process,
            _calico: calico,
            cluster,
            dataplanes: dataplanes.to_vec(),
            generation: 0,
            running: None,
            configured: false,
            interfaces: Vec::new(),
            nodes: Vec::new(),
        };
        rig.prepare()?;
        Ok(rig)
    }

    /// What Felix needs whatever the case: word that the store may be read, and the tier that is always there.
    fn prepare(&self) -> Result<()> {
        let information = json!({
            "apiVersion": "crd.projectcalico.org/v1", "kind": "ClusterInformation", "metadata": {"name": "default"},
            "spec": {"datastoreReady": true},
        });
        // Calico's API server may have made it, with its own idea.
        let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        self.cluster.kubectl().ok(&apply, &information.to_string())?;
        let label = format!("{}=yes", objects::OWN);
        self.cluster.kubectl().ok(&["label", "tiers.crd.projectcalico.org", "default", &label], "")?;
        Ok(())
    }

    /// Puts a case into force and sends its packets.
    ///
    /// # Errors
    ///
    /// Felix does not get there, or the rig itself fails. That the API server refuses objects is part of the answer.
    pub fn answer(&mut self, case: &Case) -> Result<BTreeMap<Dataplane, Answer>> {
        let dataplanes: Vec<_> = match case.dataplane {
            Some(only) => self.dataplanes.iter().copied().filter(|&dataplane| dataplane == only).collect(),
            None => self.dataplanes.clone(),
        };
        let wanted = Running {
            node: case.node.clone(),
            env: case.env.clone(),
            configuration: case.objects.iter().filter(|object| object["kind"] == CONFIGURATION).cloned().collect(),
            dataplanes,
        };
        let restart = self.running.as_ref() != Some(&wanted);
        if restart {
            self.stop()?;
        }
        // It sees a state as a whole instead of programming the kernel for every step on the way.
        self.hold(true)?;
        let stored = self.store(case, !restart);
        self.hold(false)?;
        let invalid = stored?;
        self.enforce(case, wanted, restart)?;
        self.probe(case, &invalid)
    }

    /// Has a Felix that runs stand still, or go on.
    fn hold(&self, still: bool) -> Result<()> {
        for &dataplane in self.running.iter().flat_map(|running| &running.dataplanes) {
            self.process.ask(&Operation::Hold { node: name(dataplane), still })?;
        }
        Ok(())
    }

    /// Has kubectl apply manifests instead of the objects of a case, and sends its packets under a new Felix.
    ///
    /// # Errors
    ///
    /// The API server refuses something, or as [`Rig::answer`].
    pub fn answer_applied(&mut self, manifests: &str, case: &Case) -> Result<BTreeMap<Dataplane, Answer>> {
        self.stop()?;
        self.send(&objects::clear(&[]))?;
        self.add_node(&case.node)?;
        self.cluster.kubectl().apply(manifests)?;
        self.mark(&case.node)?;
        let dataplanes = self.dataplanes.clone();
        let wanted = Running { node: case.node.clone(), env: case.env.clone(), configuration: Vec::new(), dataplanes };
        self.enforce(case, wanted, true)?;
        let answers = self.probe(case, &[]);
        // What is in force is not what the next case would take for its own.
        self.stop()?;
        answers
    }

    /// Waits until Felix has done what the store says.
    fn enforce(&mut self, case: &Case, wanted: Running, restart: bool) -> Result<()> {
        self.set_addresses(&case.interfaces)?;
        if restart {
            self.start_felix(&wanted)?;
        }
        self.sync(&wanted.dataplanes)?;
        self.running = Some(wanted);
        Ok(())
    }

    /// Starts Felix anew under the objects that are there, and sends the packets of the case again.
    ///
    /// # Errors
    ///
    /// As [`Rig::answer`].
    pub fn answer_afresh(&mut self, case: &Case) -> Result<BTreeMap<Dataplane, Answer>> {
        self.stop()?;
        self.answer(case)
    }

    fn stop(&mut self) -> Result<()> {
        self.running = None;
        for &dataplane in &self.dataplanes {
            self.process.ask(&Operation::Stop { node: name(dataplane) })?;
        }
        Ok(())
    }

    fn start_felix(&self, wanted: &Running) -> Result<()> {
        let mut env: BTreeMap<_, _> =
            wanted.env.iter().map(|(name, value)| (format!("FELIX_{name}"), value.clone())).collect();
        env.insert("FELIX_FELIXHOSTNAME".to_owned(), wanted.node.clone());
        for &dataplane in &wanted.dataplanes {
            // Rules of the Felix before it must not be taken for its own.
            self.process.ask(&Operation::Clear { node: name(dataplane) })?;
            self.process.ask(&Operation::Start { node: name(dataplane), env: &env })?;
        }
        Ok(())
    }

    /// Replaces the objects of the case before by those of this one, and says which are refused. The configuration stays
    /// where it is the same, because Felix ends whenever it changes.
    fn store(&mut self, case: &Case, same_configuration: bool) -> Result<Vec<Invalid>> {
        let api = if case.raw { Api::Stored } else { Api::Aggregated };
        let kept: &[&str] = if same_configuration && self.configured { &[CONFIGURATION] } else { &[] };
        self.configured = false;
        self.send(&objects::clear(kept))?;
        self.add_node(&case.node)?;
        // Policies come after their tiers, because the aggregated API refuses a tier that is not there.
        let (policies, others): (Vec<_>, Vec<_>) = case
            .objects
            .iter()
            .filter(|object| !kept.iter().any(|kind| object["kind"] == **kind))
            .partition(|object| object["kind"].as_str().is_some_and(|kind| kind.ends_with("Policy")));
        let mut invalid = Vec::new();
        for objects in [others, policies] {
            let mut requests = Vec::new();
            for object in &objects {
                requests
                    .push(objects::create(api, object).ok_or(Error::Misuse("the rig cannot store such an object"))?);
            }
            let replies = self.process.ask(&Operation::Objects { requests: &requests })?.responses;
            for (object, reply) in objects.iter().zip(replies) {
                match reply.status {
                    200..400 => {}
                    // Refusals of what the object says; a tier that is not there is an error of Calico's store.
                    400 | 403 | 404 | 422 | 500 => invalid.push(Invalid {
                        kind: object["kind"].as_str().unwrap_or_default().to_owned(),
                        name: object["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
                        error: reply.message,
                    }),
                    _ => return Err(refusal(&reply)),
                }
            }
        }
        self.configured = invalid.iter().all(|refused| refused.kind != CONFIGURATION);
        self.mark(&case.node)?;
        Ok(invalid)
    }

    fn mark(&mut self, node: &str) -> Result<()> {
        self.generation = self.generation.wrapping_add(1);
        self.send(&marker::requests(self.generation, node))
    }

    fn add_node(&mut self, node: &str) -> Result<()> {
        if self.nodes.iter().any(|known| known == node) {
            return Ok(());
        }
        let body = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}});
        self.send(&[Request { method: "POST", path: "/api/v1/nodes".to_owned(), body }])?;
        self.nodes.push(node.to_owned());
        Ok(())
    }

    fn send(&mut self, requests: &[Request]) -> Result<()> {
        let replies = self.process.ask(&Operation::Objects { requests })?.responses;
        match replies.iter().find(|reply| !(200..400).contains(&reply.status)) {
            Some(reply) => Err(refusal(reply)),
            None => Ok(()),
        }
    }

    fn set_addresses(&mut self, interfaces: &[CaseInterface]) -> Result<()> {
        let all: Vec<_> = ["lo"]
            .into_iter()
            .chain(INTERFACES)
            .map(|name| {
                let given = interfaces.iter().find(|interface| interface.name == name);
                given.cloned().unwrap_or_else(|| CaseInterface { name: name.to_owned(), addrs: Vec::new() })
            })
            .collect();
        if self.interfaces != all {
            for &dataplane in &self.dataplanes {
                self.process.ask(&Operation::Addresses { node: name(dataplane), interfaces: &all })?;
            }
            self.interfaces = all;
        }
        Ok(())
    }

    fn sync(&mut self, dataplanes: &[Dataplane]) -> Result<()> {
        let (packets, accept) = marker::packets(self.generation);
        for &dataplane in dataplanes {
            let node = name(dataplane);
            let rules = marker::rules(self.generation, dataplane);
            let sync = Sync { node, packets: &packets, accept: &accept, rules, seconds: PATIENCE_SECONDS };
            let sync = Operation::Sync(sync);
            let reply = self.process.ask(&sync)?;
            if reply.accepted != accept {
                return Err(Error::NotReady {
                    server: "felix",
                    seconds: PATIENCE_SECONDS,
                    reason: format!("in {node} mode the marks are {:?} after {} starts", reply.accepted, reply.starts),
                    log: self.log_end(dataplane),
                });
            }
        }
        Ok(())
    }

    fn probe(&self, case: &Case, invalid: &[Invalid]) -> Result<BTreeMap<Dataplane, Answer>> {
        let dataplanes = self.running.iter().flat_map(|running| &running.dataplanes);
        let one = |&dataplane: &Dataplane| {
            let reply = self.process.ask(&Operation::Burst { node: name(dataplane), packets: &case.packets })?;
            let verdicts = reply.accepted.iter().map(|&accepted| if accepted { "accept" } else { "drop" }.to_owned());
            let answer = Answer {
                id: case.id.clone(),
                verdicts: verdicts.collect(),
                ct: reply.conntrack,
                invalid: invalid.to_vec(),
                ..Answer::default()
            };
            Ok((dataplane, answer))
        };
        dataplanes.map(one).collect()
    }

    fn log_end(&self, dataplane: Dataplane) -> String {
        let path = self.cluster.scratch().path().join(format!("felix-{}.log", name(dataplane)));
        let log = fs::read(path).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        // Why it ended is at the beginning of what it says then, which is long.
        let panic = lines.iter().rposition(|line| line.contains("[PANIC]") || line.starts_with("panic:"));
        let from = panic.unwrap_or_else(|| lines.len().saturating_sub(QUOTED_LINES));
        lines[from..lines.len().min(from + QUOTED_LINES)].join("\n")
    }
}

fn refusal(reply: &Response) -> Error {
    Error::Answer { part: "kube-apiserver", answer: format!("{}: {}", reply.status, reply.message) }
}

const fn name(dataplane: Dataplane) -> &'static str {
    match dataplane {
        Dataplane::Nftables => "nftables",
        Dataplane::Iptables => "iptables",
        Dataplane::Bpf => "bpf",
    }
}

/// The API server as Felix reaches it: at the other end of an interface, where the rig passes everything on.
fn felix_kubeconfig(cluster: &Cluster) -> Result<PathBuf> {
    let path = cluster.kubeconfig("felix", &["system:masters"])?;
    let text = fs::read_to_string(&path).doing(|| format!("read {}", path.display()))?;
    let odd = |_| Error::Answer { part: "kubeconfig", answer: text.clone() };
    let mut config: Value = serde_json::from_str(&text).map_err(odd)?;
    config["clusters"][0]["cluster"]["server"] = json!("https://169.254.77.1:6443");
    config["clusters"][0]["cluster"]["tls-server-name"] = json!("127.0.0.1");
    cluster.scratch().write("felix.kubeconfig", config.to_string())
}

fn environment(dataplane: Dataplane, kubeconfig: &Path) -> BTreeMap<String, String> {
    let nftables = if dataplane == Dataplane::Nftables { "Enabled" } else { "Disabled" };
    let fixed = [
        ("DATASTORE_TYPE", "kubernetes"),
        ("FELIX_DATASTORETYPE", "kubernetes"),
        ("FELIX_NFTABLESMODE", nftables),
        ("FELIX_IPTABLESBACKEND", "NFT"),
        ("FELIX_IPV6SUPPORT", "true"),
        ("FELIX_BPFENABLED", "false"),
        ("FELIX_XDPENABLED", "false"),
        // Built without cgo it cannot clean up what eBPF mode leaves. The name is taken in exactly this case.
        ("FELIX_DebugSkipCTLBCleanup", "true"),
        ("FELIX_LOGFILEPATH", "none"),
        ("FELIX_LOGSEVERITYSYS", "none"),
        ("FELIX_LOGSEVERITYSCREEN", "Warning"),
        ("FELIX_USAGEREPORTINGENABLED", "false"),
        ("FELIX_HEALTHENABLED", "false"),
        ("FELIX_PROMETHEUSMETRICSENABLED", "false"),
    ];
    let mut env: BTreeMap<_, _> = fixed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    env.insert("KUBECONFIG".to_owned(), kubeconfig.to_string_lossy().into_owned());
    env
}
