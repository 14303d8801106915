//! Which member of a shared subscription gets a message.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use rmqtt::context::ServerContext;
use rmqtt::subscribe::SharedSubscription;
use rmqtt::types::{
    ClientId, Id, IsOnline, NodeId, SharedGroup, SubscriptionIdentifier, SubscriptionOptions,
    TopicName,
};

use crate::reach::Reach;

/// Members in turn; those that are offline, or at a node that does not answer, only when nobody
/// is online.
#[derive(Debug, Default)]
pub struct RoundRobin {
    turn: AtomicUsize,
    reach: Reach,
}

impl RoundRobin {
    /// Members at nodes that this says answer come first.
    pub fn new(reach: Reach) -> Self {
        Self {
            turn: AtomicUsize::default(),
            reach,
        }
    }
}

type Member = (
    NodeId,
    ClientId,
    SubscriptionOptions,
    Option<Vec<SubscriptionIdentifier>>,
    Option<IsOnline>,
);

#[async_trait]
impl SharedSubscription for RoundRobin {
    fn is_supported(&self) -> bool {
        true
    }

    async fn choice(
        &self,
        _broker: &ServerContext,
        _group: &SharedGroup,
        _publisher: &Id,
        _topic: &TopicName,
        members: &[Member],
    ) -> Option<(usize, IsOnline)> {
        let online = |member: &Member| member.4.unwrap_or(false) && self.reach.is_up(member.0);
        let mut candidates: Vec<usize> = (0..members.len())
            .filter(|&index| members.get(index).is_some_and(online))
            .collect();
        let anyone_online = !candidates.is_empty();
        if !anyone_online {
            candidates = (0..members.len()).collect();
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let index = candidates.get(turn.checked_rem(candidates.len())?)?;
        Some((*index, anyone_online))
    }
}
