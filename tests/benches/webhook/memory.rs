//! What a replica holds after more and more reviews: whether something grows for ever.

use std::sync::Arc;

use tests::guarded::Guarded;
use tokio::task::spawn_blocking;

use crate::asker::{self, Direct};
use crate::load::{self, CLIENTS};
use crate::{CONFIG, Outcome};

const PARTS: usize = 10;

/// Every review is about another policy, so that nothing of the last one serves the next.
pub(crate) async fn run(reviews: usize) -> Outcome {
    let guarded = Arc::new(spawn_blocking(|| Guarded::calico(CONFIG)).await??);
    let replica = asker::replica(&guarded, guarded.port(), &["--grace=0"], 0).await?;
    let cluster = asker::client(&guarded.cluster().kubeconfig("load", &["system:masters"])?).await?;
    let direct = Direct::start(cluster, guarded.port()).await?;
    println!("One replica, asked by {CLIENTS} clients as fast as it answers\n");
    println!("| reviews | MiB then | at the most since the line before |\n|---|---|---|");
    for part in 0..=PARTS {
        let each = reviews / PARTS;
        if part > 0 {
            let asked = load::run(each, None, |number| direct.ask((part - 1) * each + number)).await;
            asked.check()?;
        }
        let [now, most] = replica.memory()?;
        println!("| {} | {now} | {most} |", part * each);
        replica.forget_peak()?;
    }
    println!();
    Ok(())
}
