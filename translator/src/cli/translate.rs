//! The main job: matrix in, objects out.

use std::io::Write as _;
use std::path::Path;

use super::args::{self, Cni, Order, Output, TranslateArgs};
use super::report::{Proved, cluster, report};
use super::{Exit, complain, input, other, print, usage};
use crate::finding::codes::{command as command_codes, matrix as codes, proof as proof_codes};
use crate::finding::show::{self, Source};
use crate::finding::{Finding, Severity, has_errors};
use crate::matrix::{self, Expanded, Settings};
use crate::prove::{Proof, Subject, Target, prove};
use crate::render::{Node, Rendered, calico, cilium, read_nodes};
use crate::{output, presets};

/// Most findings that are shown; beyond it nobody reads.
const MOST_SHOWN: usize = 100;

/// A matrix and where it came from.
struct Input {
    text: String,
    /// As the output calls it: `preset harvester`, a file name, `stdin`.
    source: String,
    /// As an excerpt calls it.
    file: String,
}

pub(super) fn run(args: &TranslateArgs) -> Exit {
    let Some(cni) = args.cni else { return usage("--cni calico or --cni cilium is needed") };
    if let Some(message) = conflicts(args, cni) {
        return usage(&message);
    }
    let input = match read_matrix(args) {
        Ok(input) => input,
        Err(Failure::Usage(exit)) => return exit,
        Err(Failure::Finding(finding)) => return fail(args, None, &[*finding], Exit::BadInput),
    };
    let nodes = match args.nodes.as_deref().map(nodes).transpose() {
        Ok(nodes) => nodes,
        Err(finding) => return fail(args, Some(&input), &[finding], Exit::BadInput),
    };
    let snapshot = match args.snapshot.as_deref().map(input::snapshot).transpose() {
        Ok(snapshot) => snapshot,
        Err(finding) => return fail(args, Some(&input), &[finding], Exit::BadInput),
    };
    let settings = Settings {
        set: args.set.clone(),
        addons: args.addon.clone(),
        assume: args.assume.clone(),
        cni: Some(match cni {
            Cni::Calico => "calico".to_owned(),
            Cni::Cilium => "cilium".to_owned(),
        }),
        no_admin_path: args.no_admin_path,
    };
    let (expanded, mut findings) = matrix::expand(&input.text, &input.source, &settings);
    let Some(expanded) = expanded else { return fail(args, Some(&input), &findings, Exit::BadInput) };
    findings.extend(mismatch(&expanded, cni));
    findings.extend(matrix::lint(&expanded));
    let options = match cni {
        Cni::Calico => calico_options(args, &expanded, nodes.is_some()).map(Options::Calico),
        Cni::Cilium => match cilium_options(args, &expanded) {
            Ok(options) => options.map(Options::Cilium),
            Err(finding) => return fail(args, Some(&input), &[finding], Exit::BadInput),
        },
    };
    let options = match options {
        Ok(options) => options,
        Err(message) => return usage(&message),
    };
    let mut rendered = match &options {
        Options::Calico(options) => calico::render(&expanded, nodes.as_deref(), options),
        Options::Cilium(options) => cilium::render(&expanded, nodes.as_deref(), options),
    };
    // Before the objects are annotated and put into another order, which changes nothing that a CNI reads.
    let target = match &options {
        Options::Calico(options) => Target::Calico(options),
        Options::Cilium(options) => Target::Cilium(options),
    };
    let (given, cluster_given) = (nodes.as_deref(), snapshot.as_ref());
    let subject = Subject { matrix: &expanded, nodes: given, snapshot: cluster_given, rendered: &rendered, target };
    let proof = match proved(args, subject) {
        Ok(proof) => proof,
        Err(exit) => return exit,
    };
    if args.sync_waves {
        for manifest in &mut rendered.objects {
            let wave = manifest.wave.to_string();
            manifest.object.metadata_mut().annotations.insert("argocd.argoproj.io/sync-wave".to_owned(), wave);
        }
    }
    if args.order == Order::Delete {
        rendered.objects.reverse();
        let kept: Vec<String> = rendered
            .objects
            .iter()
            .filter(|manifest| manifest.shared)
            .map(|manifest| manifest.object.title())
            .collect();
        rendered.objects.retain(|manifest| !manifest.shared);
        if !kept.is_empty() {
            findings.push(
                Finding::new(
                    &command_codes::SHARED_OBJECTS_KEPT,
                    format!("{} stay: they hold settings of the whole cluster", kept.join(" and ")),
                )
                .help("translate explain shared-objects-kept prints the commands that give the fields back"),
            );
        }
    }
    findings.append(&mut rendered.findings);
    findings.extend(proof.findings.iter().cloned());
    let proved = (proof.states > 0).then(|| Proved { cluster: cluster(args), states: proof.states });
    let exit = finish(args, &input, &expanded, &rendered, &findings, proved);
    // The process ends here; giving thousands of objects back one by one only makes it end later.
    std::mem::forget((nodes, snapshot, rendered));
    exit
}

/// Settings of one of the CNIs.
enum Options {
    Calico(calico::Options),
    Cilium(cilium::Options),
}

/// Holds the objects to the matrix.
fn proved(args: &TranslateArgs, subject: Subject<'_>) -> Result<Proof, Exit> {
    // There is nothing to prove about objects that are not written.
    if subject.rendered.objects.is_empty() {
        return Ok(Proof::default());
    }
    if args.no_prove {
        let message = "nothing is proved about these objects, because of `--no-prove`";
        let findings = vec![Finding::new(&proof_codes::PROOF_SKIPPED, message)];
        return Ok(Proof { findings, ..Proof::default() });
    }
    prove(subject).map_err(|defect| {
        complain(&format!(
            "internal error: {defect}\n\nThis is a defect of translate, and nothing is written. Please report it with the \
             matrix and the command line. --no-prove writes the objects all the same."
        ));
        Exit::Internal
    })
}

/// The matrix says that the cluster runs another CNI.
fn mismatch(matrix: &Expanded, cni: Cni) -> Option<Finding> {
    let runs = matrix.cluster.cni.as_deref()?;
    let (written, fits) = match cni {
        Cni::Calico => ("Calico", runs != "cilium"),
        Cni::Cilium => ("Cilium", runs == "cilium"),
    };
    let message = format!("the matrix says that the cluster runs {runs}, and policies are written for {written}");
    (!fits).then(|| {
        Finding::new(&command_codes::CNI_MISMATCH, message)
            .at("spec.cluster.cni", None)
            .help("write for the CNI that the cluster runs, or state the right one in the matrix")
    })
}

enum Failure {
    Usage(Exit),
    Finding(Box<Finding>),
}

fn read_matrix(args: &TranslateArgs) -> Result<Input, Failure> {
    match (&args.preset, &args.filename) {
        (Some(name), _) => match presets::find(name) {
            Some(preset) => Ok(Input {
                text: preset.text.to_owned(),
                source: format!("preset {name}"),
                file: format!("preset:{name}"),
            }),
            None => {
                other::unknown_preset(name);
                Err(Failure::Usage(Exit::Usage))
            }
        },
        (None, Some(path)) => {
            let text = input::matrix(path).map_err(|finding| Failure::Finding(Box::new(finding)))?;
            let source = match path.file_name() {
                // The name alone: where it lay on the machine that translated it is nobody's business.
                Some(name) if path != Path::new("-") => name.to_string_lossy().into_owned(),
                _ => "stdin".to_owned(),
            };
            Ok(Input { text, source, file: input::name(path) })
        }
        (None, None) => Err(Failure::Usage(usage("a matrix is needed: --preset NAME or -f FILE"))),
    }
}

fn nodes(path: &Path) -> Result<Vec<Node>, Finding> {
    let text = input::text(path, &codes::NODES_UNREADABLE)?;
    read_nodes(&text).map_err(|why| {
        Finding::new(&codes::NODES_UNREADABLE, format!("{}: {why}", input::name(path)))
            .help("make the list again: kubectl get nodes -o json > nodes.json")
    })
}

/// Options that belong to the other CNI, or that cannot both be.
fn conflicts(args: &TranslateArgs, cni: Cni) -> Option<String> {
    let stdin = |path: &Option<std::path::PathBuf>| path.as_deref() == Some(Path::new("-"));
    let readers = [
        ("--filename", stdin(&args.filename)),
        ("--nodes", stdin(&args.nodes)),
        ("--snapshot", stdin(&args.snapshot)),
        ("--cilium-config", stdin(&args.cilium.cilium_config)),
    ];
    let readers: Vec<&str> = readers.iter().filter(|(_, reads)| *reads).map(|(name, _)| *name).collect();
    if readers.len() > 1 {
        return Some(format!("only one of {} can read standard input", readers.join(" and ")));
    }
    let calico = &args.calico;
    let cilium = &args.cilium;
    let foreign: Vec<(&str, bool)> = match cni {
        Cni::Cilium => vec![
            ("--calico-api", calico.calico_api.is_some()),
            ("--calico-version", calico.calico_version.is_some()),
            ("--dataplane", calico.dataplane.is_some()),
            ("--tier", calico.tier.is_some()),
            ("--tier-order", calico.tier_order.is_some()),
            ("--order-base", calico.order_base.is_some()),
            ("--failsafe", calico.failsafe.is_some()),
            ("--host-endpoints", calico.host_endpoints.is_some()),
        ],
        Cni::Calico => vec![
            ("--cilium-version", cilium.cilium_version.is_some()),
            ("--cilium-config", cilium.cilium_config.is_some()),
            ("--cilium-option", !cilium.cilium_option.is_empty()),
        ],
    };
    if let Some((name, _)) = foreign.into_iter().find(|(_, given)| *given) {
        let (other, this) = match cni {
            Cni::Calico => ("cilium", "calico"),
            Cni::Cilium => ("calico", "cilium"),
        };
        return Some(format!("{name} is for --cni {other}, not --cni {this}"));
    }
    if calico.failsafe == Some(args::Failsafe::None) && !args.no_admin_path {
        return Some("--failsafe none leaves no way back; it needs --no-admin-path".to_owned());
    }
    if calico.host_endpoints == Some(args::HostEndpoints::Written) && args.nodes.is_none() {
        return Some("--host-endpoints written needs --nodes".to_owned());
    }
    None
}

/// `3.31`, `v3.31` or `v3.31.2`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.strip_prefix('v').unwrap_or(text).split('.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.parse().ok()?;
    let rest: Vec<&str> = parts.collect();
    (rest.len() <= 1 && rest.iter().all(|part| part.starts_with(|first: char| first.is_ascii_digit())))
        .then_some((major, minor))
}

fn calico_options(args: &TranslateArgs, matrix: &Expanded, have_nodes: bool) -> Result<calico::Options, String> {
    let calico = &args.calico;
    let (major, minor) = match &calico.calico_version {
        Some(text) => version(text).ok_or_else(|| format!("`{text}` is not a version; write it as 3.31"))?,
        None => (3, 31),
    };
    let name_prefix = args.name_prefix.clone().unwrap_or_else(|| matrix.name.clone());
    let mut options = calico::Options::new(name_prefix);
    options.version = calico::Version { major, minor };
    options.admin_path = !args.no_admin_path;
    if calico.calico_api == Some(args::CalicoApi::V1) {
        options.api = calico::Api::V1;
    }
    options.dataplane = calico.dataplane.map(|dataplane| match dataplane {
        args::Dataplane::Iptables => calico::Dataplane::Iptables,
        args::Dataplane::Nftables => calico::Dataplane::Nftables,
        args::Dataplane::Ebpf => calico::Dataplane::Ebpf,
    });
    if let Some(tier) = &calico.tier {
        options.tier.clone_from(tier);
    }
    options.tier_order = calico.tier_order.unwrap_or(options.tier_order);
    options.order_base = calico.order_base.unwrap_or(options.order_base);
    options.failsafe = match calico.failsafe {
        None | Some(args::Failsafe::Matrix) => calico::Failsafe::Matrix,
        Some(args::Failsafe::Default) => calico::Failsafe::Default,
        Some(args::Failsafe::Keep) => calico::Failsafe::Keep,
        Some(args::Failsafe::None) => calico::Failsafe::None,
    };
    options.host_endpoints = match calico.host_endpoints {
        Some(args::HostEndpoints::Auto) => calico::HostEndpoints::Auto,
        Some(args::HostEndpoints::Written) => calico::HostEndpoints::Written,
        Some(args::HostEndpoints::None) => calico::HostEndpoints::None,
        None if have_nodes => calico::HostEndpoints::Written,
        None => calico::HostEndpoints::Auto,
    };
    Ok(options)
}

fn cilium_options(args: &TranslateArgs, matrix: &Expanded) -> Result<Result<cilium::Options, String>, Finding> {
    let mut config = match &args.cilium.cilium_config {
        None => cilium::AgentConfig::default(),
        Some(path) => {
            let data = input::cilium_config(path)?;
            cilium::AgentConfig::from_data(&data).map_err(|errors| {
                let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
                let message = format!("{}: {}", input::name(path), errors.join("; "));
                Finding::new(&command_codes::CILIUM_CONFIG_UNREADABLE, message)
                    .help("these are values that the agent would not start with; check them")
            })?
        }
    };
    for (key, value) in &args.cilium.cilium_option {
        if let Err(error) = config.set(key, value) {
            return Ok(Err(format!("--cilium-option {key}: {error}")));
        }
    }
    let version = match &args.cilium.cilium_version {
        Some(text) => match text.parse() {
            Ok(version) => version,
            Err(error) => return Ok(Err(format!("--cilium-version: {error}"))),
        },
        None => cilium::Version::NEWEST,
    };
    let name_prefix = args.name_prefix.clone().unwrap_or_else(|| matrix.name.clone());
    Ok(Ok(cilium::Options { version, config, name_prefix }))
}

/// Shows findings, writes the report, and ends without objects.
fn fail(args: &TranslateArgs, input: Option<&Input>, findings: &[Finding], exit: Exit) -> Exit {
    show(input, findings);
    match report(args, input.map(|input| input.file.as_str()), findings, &Rendered::default(), None) {
        Ok(()) => exit,
        Err(exit) => exit,
    }
}

fn finish(
    args: &TranslateArgs,
    input: &Input,
    matrix: &Expanded,
    rendered: &Rendered,
    findings: &[Finding],
    proved: Option<Proved>,
) -> Exit {
    let lossy = findings.iter().any(|finding| finding.severity() >= Severity::Warning);
    if has_errors(findings) || (args.strict && lossy) {
        return fail(args, Some(input), findings, Exit::Findings);
    }
    let header = (!args.no_header).then(|| {
        format!(
            "Generated by translate v{} from {} ({}). Do not edit.",
            env!("CARGO_PKG_VERSION"),
            matrix.source.chars().filter(|character| !character.is_control()).collect::<String>(),
            matrix.digest
        )
    });
    let text = match &args.output {
        Output::Yaml => output::yaml(&rendered.objects, header.as_deref()).map_err(|error| error.to_string()),
        Output::Json => output::json(&rendered.objects).map_err(|error| error.to_string()),
        Output::Directory(_) => Ok(String::new()),
    };
    let text = match text {
        Ok(text) => text,
        Err(error) => {
            complain(&format!("internal error: an object cannot be written: {error}"));
            return Exit::Internal;
        }
    };
    show(Some(input), findings);
    if let Err(exit) = report(args, Some(&input.file), findings, rendered, proved) {
        return exit;
    }
    match &args.output {
        Output::Directory(path) => match output::directory(path, &rendered.objects, header.as_deref()) {
            Ok(()) => Exit::Clean,
            Err(error) => {
                complain(&error.to_string());
                Exit::Io
            }
        },
        _ => print(&text),
    }
}

fn show(input: Option<&Input>, findings: &[Finding]) {
    let source = input.map(|input| Source { name: &input.file, text: &input.text });
    let mut stderr = anstream::stderr().lock();
    for finding in findings.iter().take(MOST_SHOWN) {
        let _ = writeln!(stderr, "{}\n", show::text(finding, source, true));
    }
    if findings.len() > MOST_SHOWN {
        let _ = writeln!(stderr, "and {} more findings; --report FILE has all of them", findings.len() - MOST_SHOWN);
    }
}
