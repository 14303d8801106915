//! What each client gets of the broker: the hub's own parts more than others.

use std::num::NonZeroU16;
use std::sync::Arc;

use rmqtt::fitter::{DefaultFitter, FitterManager};
use rmqtt::types::{ConnectInfo, FitterType, Id, ListenerConfig};

use crate::keys::INNER;

/// How many messages wait for one of the hub's own parts: what comes in hours in which a
/// recorder cannot store anything.
const INNER_QUEUE: usize = 1_000_000;

/// How many may be on their way to one of them unacknowledged. A recorder acknowledges what it
/// has stored, and stores as much at a time as it was sent: more of them cost it nothing.
const INNER_INFLIGHT: NonZeroU16 = NonZeroU16::new(4_096).unwrap();

/// Gives clients their bounds.
pub struct Bounds;

impl FitterManager for Bounds {
    fn create(&self, info: Arc<ConnectInfo>, id: Id, listener: ListenerConfig) -> FitterType {
        let inner = info.username().is_some_and(|user| user == INNER);
        let listener = match inner {
            // Whoever says so but is not is refused before anything waits for it.
            true => {
                let mut own = (*listener).clone();
                own.max_mqueue_len = own.max_mqueue_len.max(INNER_QUEUE);
                own.max_inflight = own.max_inflight.max(INNER_INFLIGHT);
                Arc::new(own)
            }
            false => listener,
        };
        Arc::new(DefaultFitter::new(info, id, listener))
    }
}
