//! `translate trace`: what becomes of a packet, step by step.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use policy::lifeline::detect::detect;
use policy::lifeline::judge::probe::{Passage, Probe, party, probe};
use policy::lifeline::{Flow, Lifeline, Party, Traffic};
use policy::snapshot::Snapshot;
use serde::Serialize;

use super::args::{TextOrJson, TraceArgs};
use super::check::assumptions;
use super::check::read::{self, Failure};
use super::progress::Progress;
use super::{Exit, print, print_json};
use crate::finding::show::printable;

/// What was asked, and the answers.
#[derive(Serialize)]
struct Traced {
    /// Whether everything passes.
    passes: bool,
    flows: Vec<One>,
}

/// One flow.
#[derive(Serialize)]
struct One {
    from: String,
    to: String,
    traffic: Vec<String>,
    #[serde(flatten)]
    probe: Probe,
}

pub(super) fn run(args: &TraceArgs) -> Exit {
    let traced = match traced(args) {
        Ok(traced) => traced,
        Err(failures) => return read::refuse(&failures),
    };
    let printed = match args.output {
        TextOrJson::Text => print(&text(&traced)),
        TextOrJson::Json => print_json(&traced),
    };
    match printed {
        Exit::Clean if !traced.passes => Exit::Findings,
        printed => printed,
    }
}

fn traced(args: &TraceArgs) -> Result<Traced, Vec<Failure>> {
    let assumptions = assumptions(&args.facts).map_err(|failure| vec![failure])?;
    let config = args.state.config.as_deref().map(read::config).transpose()?.unwrap_or_default();
    let snapshot = read::state(&args.state, &mut BTreeMap::new())?;
    let lifelines = detect(&snapshot, &config).lifelines;
    let flows = asked(args, &snapshot, &lifelines).map_err(|failure| vec![failure])?;
    let progress = Progress::new();
    progress.show("tracing");
    let mut flows: Vec<One> = flows
        .into_iter()
        .map(|(flow, [from, to])| One {
            from,
            to,
            traffic: flow.traffic.iter().map(ToString::to_string).collect(),
            probe: probe(&snapshot, &flow, &assumptions),
        })
        .collect();
    // Of a lifeline with another end, some flows may have nothing between their ends.
    flows.retain(|one| one.probe.pairs > 0);
    if flows.is_empty() {
        let help =
            "one of --from and --to is to be a node, or a pod of one, and they are to have addresses of one family";
        return Err(vec![Failure::input(format!("no packet passes a node between these ends; {help}"))]);
    }
    Ok(Traced { passes: flows.iter().all(|one| one.probe.dropped == 0), flows })
}

/// The flows that the command line means, with how their ends are called.
fn asked(args: &TraceArgs, snapshot: &Snapshot, lifelines: &[Lifeline]) -> Result<Vec<(Flow, [String; 2])>, Failure> {
    let find = |id: &str| lifelines.iter().find(|lifeline| lifeline.id == id);
    let place = |text: &str, option: &str| match party(snapshot, text) {
        Some(party) => Ok(party),
        None => Err(Failure::input(unknown(text, option, lifelines))),
    };
    let traffic = |own: &[Traffic]| args.port.map_or_else(|| own.to_vec(), |traffic| vec![traffic]);
    let (from, to) = (args.from.as_str(), args.to.as_deref());
    let (source, target) = (party(snapshot, from), to.map(|to| (to, party(snapshot, to))));
    // Names of nodes go before those of lifelines.
    let lifeline = match (&source, &target) {
        (None, _) => find(from),
        (Some(_), Some((to, None))) => find(to),
        _ => None,
    };
    let Some(lifeline) = lifeline else {
        let (from_party, Some(to)) = (place(from, "--from")?, to) else {
            return Err(Failure::input("--to is missing; only a lifeline in --from brings its own".to_owned()));
        };
        let to_party = match place(to, "--to")? {
            Party::Nodes(names) if from_party == Party::Nodes(names.clone()) => Party::Itself,
            party => party,
        };
        let Some(traffic) = args.port else {
            return Err(Failure::input("--port is missing; only a lifeline brings its own packets".to_owned()));
        };
        let flow = Flow { from: from_party, to: to_party, traffic: vec![traffic] };
        return Ok(vec![(flow, [from.to_owned(), to.to_owned()])]);
    };
    let given = match to.filter(|to| *to != lifeline.id) {
        Some(to) if source.is_none() => Some((place(to, "--to")?, to)),
        _ => None,
    };
    let flows = lifeline.flows.iter().map(|flow| {
        let (from, from_name) = match &source {
            Some(source) => (source.clone(), from.to_owned()),
            None => (flow.from.clone(), name(&flow.from)),
        };
        let (to, to_name) = match &given {
            Some((party, text)) => (party.clone(), (*text).to_owned()),
            None => (flow.to.clone(), name(&flow.to)),
        };
        (Flow { from, to, traffic: traffic(&flow.traffic) }, [from_name, to_name])
    });
    Ok(flows.collect())
}

fn unknown(text: &str, option: &str, lifelines: &[Lifeline]) -> String {
    let ids: Vec<&str> = lifelines.iter().map(|lifeline| lifeline.id.as_str()).collect();
    format!(
        "{option} {text}: the snapshot has no such node or pod with an address, and it is neither an address nor a lifeline; \
         write the name of a node, NAMESPACE/NAME of a pod, 10.0.0.0/8, outside, or one of {}",
        ids.join(", ")
    )
}

fn name(party: &Party) -> String {
    match party {
        Party::Itself => "itself".to_owned(),
        Party::Loopback => "itself, over loopback".to_owned(),
        Party::Nodes(names) if names.len() == 1 => names.iter().cloned().collect(),
        Party::Nodes(names) => format!("{} nodes", names.len()),
        Party::Addresses { name, .. } => name.clone(),
        Party::OwnPods(_) => "pods on its node".to_owned(),
    }
}

fn text(traced: &Traced) -> String {
    let mut text = String::new();
    for One { from, to, traffic, probe } in &traced.flows {
        let Probe { pairs, dropped, example, doubts } = probe;
        let _ = writeln!(text, "{} -> {}: {}", printable(from), printable(to), traffic.join(", "));
        if *pairs > 1 {
            let _ = writeln!(text, "  {pairs} pairs, {dropped} of them lose packets; one of them:");
        }
        if let Some(example) = example {
            let (source, destination) = (printable(&example.ends.source), printable(&example.ends.destination));
            let _ = writeln!(text, "  {source} to {destination}");
            for passage in &example.passages {
                one(&mut text, passage);
            }
        }
        for doubt in doubts {
            let _ = writeln!(text, "  not to be relied on: {}", printable(&doubt.to_string()));
        }
        text.push('\n');
    }
    text.push_str(if traced.passes { "passes\n" } else { "dropped\n" });
    text
}

fn one(text: &mut String, passage: &Passage) {
    let Passage { side, node, through, packet, passes, calico, cilium } = passage;
    let verdict = if *passes { "passes" } else { "dropped" };
    let (node, through) = (printable(node), printable(through));
    let _ = writeln!(text, "\n  {side} at {node}, {through}: {packet}: {verdict}");
    let mut steps = |cni: &str, trace: String| {
        for line in trace.lines() {
            let _ = writeln!(text, "    {cni}: {}", printable(line));
        }
    };
    if let Some(calico) = calico {
        steps("Calico", calico.to_string());
    }
    if let Some(cilium) = cilium {
        steps("Cilium", cilium.to_string());
    }
}
