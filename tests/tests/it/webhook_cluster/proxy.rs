//! A way to the API server that can be cut and mended.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Passes connections on.
pub(super) struct Proxy {
    own: SocketAddr,
    target: String,
    cut: Mutex<CancellationToken>,
}

impl Proxy {
    /// To an address such as `https://127.0.0.1:6443`.
    pub(super) async fn start(url: &str) -> io::Result<Self> {
        let target = url.trim_start_matches("https://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let proxy = Self { own: listener.local_addr()?, target, cut: Mutex::default() };
        proxy.serve(listener);
        Ok(proxy)
    }

    pub(super) fn url(&self) -> String {
        format!("https://{}", self.own)
    }

    /// Ends all connections, and takes no more.
    pub(super) fn cut(&self) {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner).cancel();
    }

    /// Takes connections again.
    pub(super) async fn mend(&self) -> io::Result<()> {
        *self.cut.lock().unwrap_or_else(PoisonError::into_inner) = CancellationToken::new();
        self.serve(TcpListener::bind(self.own).await?);
        Ok(())
    }

    fn serve(&self, listener: TcpListener) {
        let cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let target = self.target.clone();
        tokio::spawn(cut.clone().run_until_cancelled_owned(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let target = target.clone();
                tokio::spawn(cut.clone().run_until_cancelled_owned(async move {
                    if let Ok(mut far) = TcpStream::connect(target).await {
                        // That either end goes away is what this is for.
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    }
                }));
            }
        }));
    }
}
