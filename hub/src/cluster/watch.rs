//! Who answers, whether there is a majority, and retained messages that were missed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rmqtt::grpc::{Message, MessageReply};
use rmqtt::types::NodeId;
use tokio::time::sleep;

use super::assembly::Phase;
use super::member::{ANSWER, Cluster, RMQTT};

/// How often the others are asked.
const ROUND: Duration = Duration::from_millis(500);
/// How long there is no leader before it is told: an election takes less.
const NO_LEADER: Duration = Duration::from_secs(6);
/// How long there is no leader before it is told again.
const AGAIN: Duration = Duration::from_secs(60);
/// How long a cluster that cannot come back is waited for.
const HOPELESS: Duration = Duration::from_secs(10);
/// How many retained messages are asked for at a time.
const PIECE: usize = 200;

impl Cluster {
    /// A node has not done what it was asked for.
    pub fn suspect(&self, node: NodeId) {
        if self.reach.note(node, false) {
            self.tell_away(node);
        }
    }

    fn tell_away(&self, node: NodeId) {
        if let Some(other) = self.others.get(&node) {
            tracing::warn!(
                "node {node} of the cluster does not answer at {}",
                other.address
            );
        }
    }

    /// Watches the others, for ever.
    pub async fn watch(self: Arc<Self>) {
        let mut leaderless: Option<Instant> = None;
        let mut told: Option<Instant> = None;
        loop {
            sleep(ROUND).await;
            let words = self.words(false).await;
            for node in self.others.keys() {
                let word = words.iter().find(|(other, _)| other == node);
                // One that has not joined takes no messages.
                let up = word.is_some_and(|(_, word)| word.phase == Phase::Member);
                if self.reach.note(*node, up) {
                    match up {
                        true => {
                            tracing::warn!("node {node} of the cluster is back");
                            self.take_retained(*node).await;
                        }
                        false => self.tell_away(*node),
                    }
                }
            }
            let Some(notary) = self.notary() else {
                continue;
            };
            let leader = match notary.health_status().await {
                Ok(health) if health.running => health.leader_id.unwrap_or(0),
                _ => 0,
            };
            self.leader.store(leader, Ordering::Release);
            if leader > 0 {
                leaderless = None;
                if told.take().is_some() {
                    tracing::warn!("the cluster has a majority again");
                }
                continue;
            }
            let since = *leaderless.get_or_insert_with(Instant::now);
            if since.elapsed() > NO_LEADER && told.is_none_or(|told| told.elapsed() > AGAIN) {
                told = Some(Instant::now());
                tracing::error!("{}", self.no_majority());
            }
            // Those that wait have lost what they knew of the cluster, and join only where there
            // is a leader; those that are left are too few to make one.
            let waiting = words
                .iter()
                .filter(|(_, word)| word.phase == Phase::Waiting);
            let waiting = waiting.count();
            let members = words.len().saturating_sub(waiting).saturating_add(1);
            let all = words.len().saturating_add(1);
            if since.elapsed() > HOPELESS && members < self.majority && all >= self.majority {
                self.end(format!(
                    "node {} is left over of a cluster that lost more than half of its nodes at \
                     once, and cannot take them in again; it has to be started again, as they \
                     were. Nothing stored is lost",
                    self.node
                ));
                return;
            }
        }
    }

    fn no_majority(&self) -> String {
        let all = self.others.len().saturating_add(1);
        let away = self.away(|node| !self.reach.is_up(node));
        format!(
            "the cluster has no majority: {} of {all} nodes have to reach each other, and from \
             node {} {away}. Who is connected here gets messages from here alone; nobody can \
             connect or subscribe until then",
            self.majority, self.node
        )
    }

    /// Takes over the retained messages of all others that answer.
    pub async fn catch_up(&self) {
        let words = self.words(false).await;
        for node in self.others.keys() {
            let word = words.iter().find(|(other, _)| other == node);
            let up = word.is_some_and(|(_, word)| word.phase == Phase::Member);
            self.reach.note(*node, up);
            if up {
                self.take_retained(*node).await;
            }
        }
    }

    /// Takes over the retained messages of another node that are newer than ours.
    async fn take_retained(&self, node: NodeId) {
        let Some(other) = self.others.get(&node) else {
            return;
        };
        let mut offset = 0_usize;
        loop {
            let limit = PIECE;
            let message = Message::GetAllRetains { offset, limit };
            let (items, more) = match other.ask(RMQTT, message, ANSWER).await {
                Ok(MessageReply::GetAllRetainsChunk {
                    items, has_more, ..
                }) => (items, has_more),
                Ok(_) => return,
                Err(error) => {
                    tracing::debug!("node {node} does not give its retained messages: {error:#}");
                    // It is asked again once it answers.
                    self.reach.note(node, false);
                    return;
                }
            };
            let retained = self.broker.extends.retain().await;
            for (topic, retain, _) in items {
                if let Err(error) = retained.set(&topic, retain, None).await {
                    tracing::error!(%topic, "a retained message is not taken over: {error:#}");
                }
            }
            if !more {
                return;
            }
            offset = offset.saturating_add(PIECE);
        }
    }
}
