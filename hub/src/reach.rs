//! Which other nodes of a cluster answer.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rmqtt::types::NodeId;

/// The nodes that do not answer. A hub by itself has none.
#[derive(Debug, Clone, Default)]
pub struct Reach(Arc<Mutex<HashSet<NodeId>>>);

impl Reach {
    /// Whether a node answers, by all that is known.
    pub fn is_up(&self, node: NodeId) -> bool {
        !self.silent().contains(&node)
    }

    /// Notes whether a node answers; gives whether that is news.
    #[cfg_attr(not(feature = "cluster"), allow(dead_code, reason = "for a cluster"))]
    pub fn note(&self, node: NodeId, up: bool) -> bool {
        match up {
            true => self.silent().remove(&node),
            false => self.silent().insert(node),
        }
    }

    fn silent(&self) -> MutexGuard<'_, HashSet<NodeId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
