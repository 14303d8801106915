//! The button of a virtual device.

use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// A button that a program presses: what it is told, the device sees in this order.
/// Clones are the same button.
#[derive(Clone, Debug)]
pub struct Button {
    contact: UnboundedSender<bool>,
    edges: Arc<Mutex<UnboundedReceiver<bool>>>,
}

impl Button {
    /// Presses it, or lets it go.
    pub fn set(&self, pressed: bool) {
        // The other end is here as well.
        let _ = self.contact.send(pressed);
    }

    /// Waits for the next edge. Dropped meanwhile, it takes none.
    pub(crate) async fn next(&self) -> bool {
        match self.edges.lock().await.recv().await {
            Some(pressed) => pressed,
            None => std::future::pending().await,
        }
    }
}

impl Default for Button {
    fn default() -> Self {
        let (contact, edges) = mpsc::unbounded_channel();
        Self {
            contact,
            edges: Arc::new(Mutex::new(edges)),
        }
    }
}
