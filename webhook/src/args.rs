//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Admission webhook: refuses changes to host policies that would cut the cluster off.
#[derive(Debug, Parser)]
#[command(
    name = "webhook",
    version,
    after_help = "Exit status: 0 stopped, 1 the self-test failed, 2 usage, 3 bad input, 4 cluster or I/O, 70 internal error."
)]
pub struct Args {
    /// Answer from the manifests in a directory instead of a cluster, with a certificate that is thrown away. Repeatable.
    #[arg(long, value_name = "DIR", help_heading = "State")]
    pub snapshot: Vec<PathBuf>,
    /// LifelineConfig that goes with --snapshot; a cluster has its own.
    #[arg(long, value_name = "FILE", requires = "snapshot", help_heading = "State")]
    pub config: Option<PathBuf>,
    /// Print what can and cannot be seen in this cluster, and end.
    #[arg(long, conflicts_with = "snapshot", help_heading = "State")]
    pub self_test: bool,
    /// Namespace in which this runs, with its Secret and ConfigMaps.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "lifeline-system",
        env = "LIFELINE_NAMESPACE",
        help_heading = "State"
    )]
    pub namespace: String,

    /// Where reviews are answered, over TLS.
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:8443", help_heading = "Serving")]
    pub listen: SocketAddr,
    /// Where /livez and /readyz are answered, in plain HTTP.
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:8080", help_heading = "Serving")]
    pub health_listen: SocketAddr,
    /// Where /metrics is answered, in plain HTTP.
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:9090", help_heading = "Serving")]
    pub metrics_listen: SocketAddr,
    /// Seconds between SIGTERM and the end of new reviews, in which endpoints of the Service learn of it.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, help_heading = "Serving")]
    pub grace: u64,

    /// Where the serving certificate comes from.
    #[arg(long, value_enum, default_value_t = Certificates::SelfSigned, help_heading = "Certificates")]
    pub certificates: Certificates,
    /// Certificate chain, PEM, with --certificates files.
    #[arg(long, value_name = "FILE", required_if_eq("certificates", "files"), help_heading = "Certificates")]
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM, with --certificates files.
    #[arg(long, value_name = "FILE", required_if_eq("certificates", "files"), help_heading = "Certificates")]
    pub key: Option<PathBuf>,
    /// Ask clients for a certificate that one of these authorities (PEM) signed.
    #[arg(long, value_name = "FILE", help_heading = "Certificates")]
    pub client_authorities: Option<PathBuf>,
    /// Let in only clients with one of these names in their certificate. Repeatable.
    #[arg(long, value_name = "NAME", requires = "client_authorities", help_heading = "Certificates")]
    pub client_name: Vec<String>,

    /// How much is logged: error, warn, info, debug, trace, or directives for parts of the program.
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "LIFELINE_LOG", help_heading = "Logging")]
    pub log: String,
    /// How it is written.
    #[arg(long, value_enum, default_value_t = Format::Json, help_heading = "Logging")]
    pub log_format: Format,
}

/// Where certificates come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Certificates {
    /// From authorities of our own, in a Secret that the replicas share; published in the webhook configuration.
    #[value(name = "self")]
    SelfSigned,
    /// From files, such as those of cert-manager; read again when they change.
    Files,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For machines.
    Json,
    /// For people.
    Text,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
