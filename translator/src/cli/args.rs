//! The command line.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use policy::lifeline::{Traffic, TrafficError};

/// Turn a port matrix into Calico or Cilium host policies.
///
/// Objects go to standard output in an order that is safe to apply; findings go to standard error. On failure standard
/// output stays empty.
#[derive(Debug, Parser)]
#[command(
    name = "translate",
    version,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = "Exit status: 0 clean, 1 findings, 2 usage, 3 bad input, 4 output cannot be written, 70 internal error.",
    after_long_help = EXAMPLES
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) translate: TranslateArgs,
    /// When to use colours on standard error.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(super) color: Color,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

const EXAMPLES: &str = "\
Exit status:
  0   clean
  1   findings: a row that cannot be expressed; with --strict, any loss
  2   usage
  3   bad input
  4   output cannot be written
  70  internal error

Examples:
  translate --cni calico --preset harvester | kubectl apply --server-side -f -
  translate --cni calico -f matrix.yaml --nodes nodes.json --set adminCIDRs=192.168.10.0/24
  translate --cni cilium --preset talos --set adminCIDRs=192.168.10.0/24 --cilium-config cilium-config.yaml
  translate --cni calico --preset harvester --order delete | kubectl delete -f -";

/// Options of the main job.
#[derive(Args, Debug)]
pub(super) struct TranslateArgs {
    /// CNI to write policies for.
    #[arg(long, value_enum, value_name = "CNI")]
    pub(super) cni: Option<Cni>,
    /// Matrix that ships inside the binary; see `translate presets`.
    #[arg(long, value_name = "NAME", conflicts_with = "filename", help_heading = "Matrix")]
    pub(super) preset: Option<String>,
    /// Matrix to read; `-` is standard input.
    #[arg(short, long, value_name = "FILE", help_heading = "Matrix")]
    pub(super) filename: Option<PathBuf>,
    /// Value of a parameter; lists are separated by commas, an empty value is the empty list. Repeatable.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair, help_heading = "Matrix")]
    pub(super) set: Vec<(String, String)>,
    /// Switch an addon. Repeatable.
    #[arg(long, value_name = "NAME=on|off", value_parser = switch, help_heading = "Matrix")]
    pub(super) addon: Vec<(String, bool)>,
    /// Fact that the matrix leaves open (cni, encapsulation, distribution, feature, family). Repeatable.
    #[arg(long, value_name = "FACT=VALUE", value_parser = pair, help_heading = "Matrix")]
    pub(super) assume: Vec<(String, String)>,
    /// Accept a matrix that lets no administrator in from outside the cluster.
    #[arg(long, help_heading = "Matrix")]
    pub(super) no_admin_path: bool,
    /// Nodes as `kubectl get nodes -o json` (or yaml) prints them; `-` is standard input.
    #[arg(long, value_name = "FILE", help_heading = "Cluster")]
    pub(super) nodes: Option<PathBuf>,
    /// Manifests of the cluster to prove the objects in: a file, or a folder of .yaml, .yml and .json files. Otherwise they
    /// are proved among the nodes of --nodes, or in a model with two nodes of each role.
    #[arg(long, value_name = "FILE|DIR", conflicts_with = "no_prove", help_heading = "Cluster")]
    pub(super) snapshot: Option<PathBuf>,

    /// Output format.
    #[arg(short, long, value_name = "yaml|json|dir=PATH", value_parser = output, default_value = "yaml", help_heading = "Output")]
    pub(super) output: Output,
    /// Order of the objects: safe to apply, or safe to delete.
    #[arg(long, value_enum, default_value_t = Order::Apply, value_name = "ORDER", help_heading = "Output")]
    pub(super) order: Order,
    /// Annotate every object with its Argo CD sync wave.
    #[arg(long, help_heading = "Output")]
    pub(super) sync_waves: bool,
    /// First part of every object's name (default: the matrix's name).
    #[arg(long, value_name = "NAME", value_parser = name_prefix, help_heading = "Output")]
    pub(super) name_prefix: Option<String>,
    /// Leave the comment at the top of the output out.
    #[arg(long, help_heading = "Output")]
    pub(super) no_header: bool,
    /// Fail, and write nothing, when the objects admit more or less than the matrix or a lint warns.
    #[arg(long, help_heading = "Output")]
    pub(super) strict: bool,
    /// Write the objects without holding them to the matrix first.
    #[arg(long, help_heading = "Output")]
    pub(super) no_prove: bool,
    /// Write the findings and the fate of each row as JSON.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(super) report: Option<PathBuf>,

    #[command(flatten)]
    pub(super) calico: CalicoArgs,
    #[command(flatten)]
    pub(super) cilium: CiliumArgs,
}

/// Options that only Calico has.
#[derive(Args, Debug)]
#[command(next_help_heading = "Calico")]
pub(super) struct CalicoArgs {
    /// API group: projectcalico.org/v3, or crd.projectcalico.org/v1 where no Calico API server runs [default: v3].
    #[arg(long, value_enum, value_name = "API")]
    pub(super) calico_api: Option<CalicoApi>,
    /// Version of Calico, 3.29 to 3.32 [default: 3.31].
    #[arg(long, value_name = "VERSION")]
    pub(super) calico_version: Option<String>,
    /// Dataplane of Felix. Unstated means: write only what is safe on each.
    #[arg(long, value_enum, value_name = "DATAPLANE")]
    pub(super) dataplane: Option<Dataplane>,
    /// Tier that the policies are put in; made by translate [default: lifeline].
    #[arg(long, value_name = "NAME")]
    pub(super) tier: Option<String>,
    /// Order of the tier; lower is earlier, Calico's own tiers begin at 1000 [default: 100].
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub(super) tier_order: Option<f64>,
    /// Order of the first policy within the tier [default: 100].
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub(super) order_base: Option<f64>,
    /// Failsafe ports: computed from the matrix, Calico's own, left as they are, or none [default: matrix].
    #[arg(long, value_enum, value_name = "FAILSAFE")]
    pub(super) failsafe: Option<Failsafe>,
    /// Host endpoints: made by calico-kube-controllers, written out from --nodes, or left to others [default: written
    /// with --nodes, otherwise auto].
    #[arg(long, value_enum, value_name = "HOW")]
    pub(super) host_endpoints: Option<HostEndpoints>,
}

/// Options that only Cilium has.
#[derive(Args, Debug)]
#[command(next_help_heading = "Cilium")]
pub(super) struct CiliumArgs {
    /// Version of Cilium, 1.18 to 1.20 [default: 1.20].
    #[arg(long, value_name = "VERSION")]
    pub(super) cilium_version: Option<String>,
    /// ConfigMap cilium-config, YAML or JSON.
    #[arg(long, value_name = "FILE")]
    pub(super) cilium_config: Option<PathBuf>,
    /// One fact of cilium-config, over the file. Repeatable.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub(super) cilium_option: Vec<(String, String)>,
}

/// The state of a cluster, and what a person knows of it.
#[derive(Args, Debug)]
pub(super) struct StateArgs {
    /// State of the cluster: manifests as kubectl prints them, files or directories; `-` is standard input. Repeatable.
    #[cfg_attr(feature = "live", arg(long, value_name = "PATH", required_unless_present = "live"))]
    #[cfg_attr(not(feature = "live"), arg(long, value_name = "PATH", required = true))]
    pub(super) snapshot: Vec<PathBuf>,
    /// Read directories below the given ones too.
    #[arg(short = 'R', long)]
    pub(super) recursive: bool,
    /// LifelineConfig: what the cluster lives on besides, and what not.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Read the state from a live cluster, in the place of --snapshot.
    #[cfg(feature = "live")]
    #[arg(long, conflicts_with = "snapshot", help_heading = "Live cluster")]
    pub(super) live: bool,
    #[cfg(feature = "live")]
    #[command(flatten)]
    pub(super) connection: ConnectionArgs,
}

/// Which cluster, and as whom; names are kubectl's.
#[cfg(feature = "live")]
#[derive(Args, Debug)]
#[command(next_help_heading = "Live cluster")]
pub(super) struct ConnectionArgs {
    /// Kubeconfig; otherwise as kubectl finds it.
    #[arg(long, value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig.
    #[arg(long, value_name = "NAME")]
    pub(super) context: Option<String>,
    /// User to act as.
    #[arg(long = "as", value_name = "USER")]
    pub(super) user: Option<String>,
    /// Group to act as. Repeatable.
    #[arg(long = "as-group", value_name = "GROUP", requires = "user")]
    pub(super) groups: Vec<String>,
    /// Seconds that one answer may take [default: 60].
    #[arg(long, value_name = "SECONDS")]
    pub(super) request_timeout: Option<u64>,
}

/// Options of `snapshot`.
#[cfg(feature = "live")]
#[derive(Args, Debug)]
pub(super) struct SnapshotArgs {
    /// Directory to write to; it must not be there, or be empty.
    #[arg(short, long, value_name = "DIR")]
    pub(super) output: PathBuf,
    #[command(flatten)]
    pub(super) connection: ConnectionArgs,
}

/// Options of `check`.
#[derive(Args, Debug)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    pub(super) state: StateArgs,
    /// Objects as they will be, files or directories. Repeatable. Without a change the state itself is judged.
    #[arg(short, long, value_name = "PATH")]
    pub(super) filename: Vec<PathBuf>,
    /// Keep what the state has and objects of -f lack, as `kubectl apply` does with fields that it never applied. Objects
    /// that it applied before tell by themselves (annotation last-applied-configuration); others are taken as written.
    #[arg(long, requires = "filename")]
    pub(super) merge: bool,
    /// Objects to go, after those of -f are in place. Repeatable.
    #[arg(long, value_name = "PATH")]
    pub(super) delete: Vec<PathBuf>,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = CheckOutput::Text, value_name = "FORMAT")]
    pub(super) output: CheckOutput,
    /// Write the objects of -f with the repair in them, where one is proved to cut nothing: to a file, or without one to
    /// standard output. What the repair does not touch stays as it is. Exit status 0: what is written is safe.
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true, requires = "filename")]
    pub(super) fix: Option<Option<PathBuf>>,
    #[command(flatten)]
    pub(super) facts: FactArgs,
}

/// Facts that a snapshot may not tell.
#[derive(Args, Debug)]
pub(super) struct FactArgs {
    /// Version of Calico, where the snapshot does not tell.
    #[arg(long, value_name = "VERSION")]
    pub(super) calico_version: Option<String>,
    /// Dataplane of Felix, where the snapshot does not tell.
    #[arg(long, value_enum, value_name = "DATAPLANE")]
    pub(super) dataplane: Option<Dataplane>,
    /// One fact of cilium-config, over the snapshot. Repeatable.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub(super) cilium_option: Vec<(String, String)>,
}

/// Options of `trace`.
#[derive(Args, Debug)]
pub(super) struct TraceArgs {
    #[command(flatten)]
    pub(super) state: StateArgs,
    /// Who sends: a node, a pod as NAMESPACE/NAME, an address or prefix, `outside`, or a lifeline for those who open it.
    #[arg(long, value_name = "WHO")]
    pub(super) from: String,
    /// Who gets it, likewise; with a lifeline in --from it may be left out.
    #[arg(long, value_name = "WHO")]
    pub(super) to: Option<String>,
    /// Packets: PORT/PROTOCOL such as 10250/TCP, or as in a LifelineConfig: TCP/10250, ICMP/8, IPIP. A lifeline has its own.
    #[arg(long, value_name = "PORT/PROTOCOL", value_parser = traffic)]
    pub(super) port: Option<Traffic>,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text, value_name = "FORMAT")]
    pub(super) output: TextOrJson,
    #[command(flatten)]
    pub(super) facts: FactArgs,
}

/// Options of `diff`.
#[derive(Args, Debug)]
pub(super) struct DiffArgs {
    /// State before: a file or directory of manifests as kubectl prints them; or a port matrix.
    #[arg(value_name = "OLD")]
    pub(super) old: PathBuf,
    /// State after it, or another port matrix.
    #[arg(value_name = "NEW")]
    pub(super) new: PathBuf,
    /// Value of a parameter of both matrices; lists are separated by commas. Repeatable.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(super) set: Vec<(String, String)>,
    /// Switch an addon of both matrices. Repeatable.
    #[arg(long, value_name = "NAME=on|off", value_parser = switch)]
    pub(super) addon: Vec<(String, bool)>,
    /// Read directories below the given ones too.
    #[arg(short = 'R', long)]
    pub(super) recursive: bool,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text, value_name = "FORMAT")]
    pub(super) output: TextOrJson,
    #[command(flatten)]
    pub(super) facts: FactArgs,
}

/// Options of `lifelines`.
#[derive(Args, Debug)]
pub(super) struct LifelinesArgs {
    #[command(flatten)]
    pub(super) state: StateArgs,
    /// Port matrix whose rows with a `flow` are the lifelines, in the place of what is detected.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub(super) matrix: Option<PathBuf>,
    /// Value of a parameter of the matrix; lists are separated by commas. Repeatable.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair, requires = "matrix")]
    pub(super) set: Vec<(String, String)>,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text, value_name = "FORMAT")]
    pub(super) output: TextOrJson,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum CheckOutput {
    /// For people, with excerpts of the files.
    Text,
    /// For programs; `translate schema check` prints its schema.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// JUnit, one case for each lifeline.
    Junit,
    /// Commands of GitHub's workflows.
    Github,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum TextOrJson {
    Text,
    Json,
}

/// Other jobs.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say whether a change would cut a flow that the cluster lives on, offline.
    ///
    /// Shows for each such flow one packet that would no longer pass, the rule or default that drops it, and a repair that
    /// was judged to cut nothing. Exit status: 0 safe, 1 it cuts or nothing can be proved, 3 bad input.
    Check(Box<CheckArgs>),
    /// Show step by step what becomes of a packet, at the node that sends it and at the one that receives it.
    ///
    /// Each step names the stage, the object and the rule that was asked, and what came of it; the last one decides. Exit
    /// status: 0 it passes, 1 it is dropped, 3 bad input.
    Trace(Box<TraceArgs>),
    /// Show which flows open and which close between two states of a cluster, or two port matrices.
    ///
    /// What is compared is which packets pass between nodes, pods and everybody else, not the text of the files. Exit
    /// status: 0 no difference, 1 differences, 3 bad input.
    Diff(DiffArgs),
    /// Write what a judgement needs of a live cluster into a directory of manifests.
    ///
    /// Only reads, never Secrets, and writes all or nothing. Exit status: 0 written, 4 the cluster cannot be read or the
    /// directory not written.
    #[cfg(feature = "live")]
    Snapshot(SnapshotArgs),
    /// Show the flows that a cluster lives on, what tells of each, and what could not be found out.
    ///
    /// Exit status: 0 all is known, 1 something that the cluster certainly lives on is not, 3 bad input.
    Lifelines(LifelinesArgs),
    /// List the matrices inside the binary.
    Presets {
        #[command(subcommand)]
        command: Option<PresetsCommand>,
    },
    /// Print a JSON Schema, for editors and programs.
    Schema {
        /// Of what: a matrix, a LifelineConfig, or what `check -o json` prints.
        #[arg(value_enum, default_value_t = SchemaOf::Matrix)]
        of: SchemaOf,
    },
    /// Explain a finding: what it means, an example, what to do. Without a code, list them.
    Explain {
        /// Code, such as row-not-expressible.
        code: Option<String>,
    },
    /// Print a completion script.
    Completion {
        /// Shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page (roff).
    Man,
    /// Print the version.
    Version {
        /// Output format.
        #[arg(short, long, value_parser = PossibleValuesParser::new(["text", "json"]), default_value = "text")]
        output: String,
    },
}

/// What to do with presets.
#[derive(Debug, Subcommand)]
pub(super) enum PresetsCommand {
    /// Print a preset's matrix, to start one's own from.
    Show {
        /// Name.
        name: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum SchemaOf {
    Matrix,
    Config,
    Check,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    Auto,
    Always,
    Never,
}

impl Color {
    pub(super) fn write_global(self) {
        match self {
            // The global choice starts as auto and honours NO_COLOR and CLICOLOR_FORCE.
            Self::Auto => {}
            Self::Always => anstream::ColorChoice::Always.write_global(),
            Self::Never => anstream::ColorChoice::Never.write_global(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Cni {
    Calico,
    Cilium,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Order {
    Apply,
    Delete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum CalicoApi {
    V3,
    V1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Dataplane {
    Iptables,
    Nftables,
    Ebpf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Failsafe {
    Matrix,
    Default,
    Keep,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum HostEndpoints {
    Auto,
    Written,
    None,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Output {
    Yaml,
    Json,
    Directory(PathBuf),
}

fn output(text: &str) -> Result<Output, String> {
    match text {
        "yaml" => Ok(Output::Yaml),
        "json" => Ok(Output::Json),
        _ => match text.strip_prefix("dir=") {
            Some(path) if !path.is_empty() => Ok(Output::Directory(PathBuf::from(path))),
            _ => Err("the formats are yaml, json and dir=PATH".to_owned()),
        },
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}

/// As in a LifelineConfig, or with the port first.
fn traffic(text: &str) -> Result<Traffic, TrafficError> {
    match text.split_once('/') {
        Some((ports, protocol)) if ports.starts_with(|first: char| first.is_ascii_digit()) && !protocol.is_empty() => {
            format!("{}/{ports}", protocol.to_ascii_uppercase()).parse()
        }
        _ => text.parse(),
    }
}

fn switch(text: &str) -> Result<(String, bool), String> {
    let (name, value) = pair(text).map_err(|_| "write it as NAME=on or NAME=off".to_owned())?;
    match value.as_str() {
        "on" | "true" => Ok((name, true)),
        "off" | "false" => Ok((name, false)),
        _ => Err(format!("`{value}` is neither on nor off")),
    }
}

fn name_prefix(text: &str) -> Result<String, String> {
    let fine = text.len() <= 40
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && !text.ends_with('-')
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if fine { Ok(text.to_owned()) } else { Err("use lower-case letters, digits and dashes, at most 40".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn formats_are_read() {
        assert_eq!(output("dir=out"), Ok(Output::Directory("out".into())));
        assert!(output("dir=").is_err());
        assert!(output("xml").is_err());
    }
}
