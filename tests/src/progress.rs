//! How far a long run is, and whether it is to end early.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

/// How often a run says how far it is.
const PERIOD: Duration = Duration::from_secs(10);

/// A run that somebody waits for.
#[derive(Debug, Default)]
pub struct Progress {
    is_told_to_end: Arc<AtomicBool>,
    said: Option<Mutex<Instant>>,
}

impl Progress {
    /// Says every ten seconds how far the run is, on standard error, and ends it at SIGTERM or SIGINT.
    ///
    /// # Errors
    ///
    /// The signals cannot be had.
    pub fn said() -> std::io::Result<Self> {
        let own = Self { said: Some(Mutex::new(Instant::now())), ..Self::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (mut terminate, mut interrupt) = {
            let _context = runtime.enter();
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
        };
        let told = Arc::clone(&own.is_told_to_end);
        std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            });
            told.store(true, Ordering::Relaxed);
        });
        Ok(own)
    }

    /// Whether the run goes on after so many of its cases.
    #[must_use]
    pub fn goes_on(&self, done: u64, cases: u64) -> bool {
        if let Some(said) = &self.said {
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            if said.elapsed() >= PERIOD {
                *said = Instant::now();
                eprintln!("{done} of {cases}");
            }
        }
        !self.is_told_to_end.load(Ordering::Relaxed)
    }
}
