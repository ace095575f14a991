//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use certs::Lifetimes;
use clap::{Parser, ValueEnum};
use k8s_openapi::jiff::SignedDuration;

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
    /// How long an authority of our own lives, from 4m; another one follows it after two thirds. Hours, minutes, seconds.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "8760h",
        value_parser = at_least(Lifetimes::LEAST_AUTHORITY),
        help_heading = "Certificates"
    )]
    pub authority_lifetime: Duration,
    /// How long a certificate that it signs lives, from 1m to a third of that; renewed after two thirds.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "168h",
        value_parser = at_least(Lifetimes::LEAST_LEAF),
        help_heading = "Certificates"
    )]
    pub certificate_lifetime: Duration,
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

/// Reads a duration such as `168h`, `90m` or `1h 30m`, as the field writes them.
fn at_least(least: Duration) -> impl Fn(&str) -> Result<Duration, String> + Clone {
    move |text| {
        let signed: SignedDuration =
            text.parse().map_err(|error| format!("{error}; write hours, minutes and seconds: 168h"))?;
        let duration = Duration::try_from(signed).map_err(|_| "it must not be negative".to_owned())?;
        if duration < least { Err(format!("it must be at least {}s", least.as_secs())) } else { Ok(duration) }
    }
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

    #[test]
    fn lifetimes_are_durations_within_limits() {
        let parsed = |more: &[&str]| Args::try_parse_from([&["webhook"], more].concat());
        let default = parsed(&[]).expect("defaults");
        assert_eq!((default.authority_lifetime, default.certificate_lifetime), {
            let Lifetimes { authority, leaf } = Lifetimes::default();
            (authority, leaf)
        });
        let short = parsed(&["--authority-lifetime=1h 30m", "--certificate-lifetime=90s"]).expect("short ones");
        assert_eq!((short.authority_lifetime.as_secs(), short.certificate_lifetime.as_secs()), (5400, 90));
        for (flag, reason) in [
            ("--authority-lifetime=3m", "at least 240s"),
            ("--certificate-lifetime=59s", "at least 60s"),
            ("--certificate-lifetime=-1h", "must not be negative"),
            ("--certificate-lifetime=7 days", "write hours, minutes and seconds"),
        ] {
            let error = parsed(&[flag]).expect_err(flag).to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
