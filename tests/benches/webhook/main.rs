//! The webhook under load: what it costs, and what gets lost when something goes wrong.
//!
//! ```text
//! cargo bench -p tests --bench webhook                     # everything, half an hour
//! cargo bench -p tests --bench webhook -- speed            # against the same server with the judgement left out
//! cargo bench -p tests --bench webhook -- cluster          # in a cluster of 1,000 nodes, against changes that pass it by
//! cargo bench -p tests --bench webhook -- memory [REVIEWS] # of one replica over 50,000 reviews unless said otherwise
//! cargo bench -p tests --bench webhook -- faults [REVIEWS] # 10,000 reviews in each case unless said otherwise
//! ```

mod asker;
mod cluster;
mod faults;
mod front;
mod hostile;
mod load;
mod memory;
mod speed;

/// What no object of these clusters tells.
const CONFIG: &str = include_str!("../../../docs/try/lifeline.yaml");

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome {
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        return Err("a TLS provider is installed already".into());
    }
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let wanted = args.first().map_or("", String::as_str);
    if matches!(wanted, "" | "speed") {
        speed::run().await?;
    }
    if matches!(wanted, "" | "cluster") {
        cluster::run().await?;
    }
    let reviews = |usual: usize| args.get(1).map_or(Ok(usual), |text| text.parse());
    if matches!(wanted, "" | "memory") {
        memory::run(reviews(50_000)?).await?;
    }
    if matches!(wanted, "" | "faults") {
        faults::run(reviews(10_000)?).await?;
    }
    Ok(())
}
