//! Messages on their way to clients of other nodes.
//!
//! rmqtt hands a message for another node to a queue and forgets it. Here a node has taken it
//! before its publisher gets the PUBACK, or it is held: for a client whose node is away, or
//! that is just moving, until it is known where that is.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rmqtt::grpc::Message;
use rmqtt::types::{
    ClientId, From, NodeId, Publish, QoS, Reason, SubRelation, SubRelations, SubRelationsMap,
    SubscriptionOptions, To,
};
use tokio::time::sleep;

use super::member::{ANSWER, Cluster, RMQTT};
use crate::peers::{Delivery, Peers, Undelivered};

/// How long a message is held.
const HELD: Duration = Duration::from_secs(5 * 60);
/// How many are held; beyond it the one that came last is dropped.
const MOST: usize = 20_000;
/// How often it is tried again.
const AGAIN: Duration = Duration::from_millis(50);

/// What could not be delivered yet, by client and in order.
#[derive(Default)]
pub struct Held {
    clients: Mutex<HashMap<ClientId, VecDeque<HeldMessage>>>,
    count: AtomicUsize,
}

struct HeldMessage {
    relation: SubRelation,
    from: From,
    publish: Publish,
    since: Instant,
}

fn client_of(relation: &SubRelation) -> &ClientId {
    &relation.1
}

/// The relation of a message that is for a client whatever it subscribed to.
fn direct(client: &ClientId, publish: &Publish) -> SubRelation {
    let mut options = SubscriptionOptions::default();
    options.set_qos(publish.qos);
    (publish.topic.clone(), client.clone(), options, None, None)
}

/// Whether a message must arrive.
fn matters(publish: &Publish, relation: &SubRelation) -> bool {
    publish.qos != QoS::AtMostOnce && relation.2.qos() != QoS::AtMostOnce
}

fn lost(
    relation: SubRelation,
    from: From,
    publish: Publish,
    why: &'static str,
) -> (To, From, Publish, Reason) {
    (
        To::from(0, relation.1),
        from,
        publish,
        Reason::from_static(why),
    )
}

impl Held {
    fn clients(&self) -> MutexGuard<'_, HashMap<ClientId, VecDeque<HeldMessage>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Holds a message that was on its way to a client.
    pub fn keep_for(&self, client: &ClientId, from: From, publish: Publish) {
        if publish.qos != QoS::AtMostOnce {
            let relation = direct(client, &publish);
            let _ = self.keep(relation, from, publish);
        }
    }

    /// Holds a message; gives it back if there are too many.
    fn keep(
        &self,
        relation: SubRelation,
        from: From,
        publish: Publish,
    ) -> Option<(To, From, Publish, Reason)> {
        let mut clients = self.clients();
        if self.count.load(Ordering::Acquire) >= MOST {
            let why = "too much waits for nodes that are away";
            return Some(lost(relation, from, publish, why));
        }
        self.count.fetch_add(1, Ordering::AcqRel);
        let queue = clients.entry(client_of(&relation).clone()).or_default();
        queue.push_back(HeldMessage {
            relation,
            from,
            publish,
            since: Instant::now(),
        });
        None
    }

    /// Whether something is held for a client, so that what comes now has to wait behind it.
    fn has(&self, client: &ClientId) -> bool {
        !self.is_empty() && self.clients().contains_key(client)
    }

    /// The oldest message of a client. It stays held until [`Held::done`].
    fn first(&self, client: &ClientId) -> Option<(SubRelation, From, Publish, Instant)> {
        let clients = self.clients();
        let held = clients.get(client)?.front()?;
        let (from, publish) = (held.from.clone(), held.publish.clone());
        Some((held.relation.clone(), from, publish, held.since))
    }

    /// Forgets the oldest message of a client.
    fn done(&self, client: &ClientId) {
        let mut clients = self.clients();
        let Some(queue) = clients.get_mut(client) else {
            return;
        };
        if queue.pop_front().is_some() {
            self.count.fetch_sub(1, Ordering::AcqRel);
        }
        if queue.is_empty() {
            clients.remove(client);
        }
    }
}

impl Cluster {
    /// Brings a message to its subscribers, wherever they are.
    pub async fn distribute(&self, peers: &Peers, from: From, publish: Publish) -> Delivery {
        let relations = match &publish.target_clientid {
            Some(client) => {
                let node = self.node_of(client).await.unwrap_or(self.node);
                let relation = direct(client, &publish);
                SubRelationsMap::from_iter([(node, vec![relation])])
            }
            None => self.matches(&from, &publish).await,
        };
        let mut count = 0_usize;
        let mut undelivered = Undelivered::new();
        for (node, relations) in relations {
            count = count.saturating_add(relations.len());
            let left = match node == self.node {
                true => {
                    self.deliver_here(peers, from.clone(), &publish, relations)
                        .await
                }
                false => {
                    self.deliver_there(node, peers, from.clone(), &publish, relations)
                        .await
                }
            };
            undelivered.extend(left);
        }
        match undelivered.is_empty() {
            true => Ok(count),
            false => Err((count.saturating_sub(undelivered.len()), undelivered)),
        }
    }

    async fn matches(&self, from: &From, publish: &Publish) -> SubRelationsMap {
        let router = self.broker.extends.router().await;
        match router.matches(from.id.clone(), &publish.topic).await {
            Ok(relations) => relations,
            Err(error) => {
                tracing::error!(topic = %publish.topic, "who subscribed cannot be found: {error:#}");
                SubRelationsMap::default()
            }
        }
    }

    /// The node that has a client.
    async fn node_of(&self, client: &ClientId) -> Option<NodeId> {
        let status = self.notary()?.session_status(client).await?;
        Some(status.id.node_id)
    }

    /// Keeps apart those for whom older messages are held.
    fn queue(&self, from: &From, publish: &Publish, relations: &mut SubRelations) -> Undelivered {
        let mut undelivered = Undelivered::new();
        if self.held.is_empty() {
            return undelivered;
        }
        let (behind, free): (SubRelations, _) = relations
            .drain(..)
            .partition(|relation| matters(publish, relation) && self.held.has(client_of(relation)));
        *relations = free;
        for relation in behind {
            let kept = self.held.keep(relation, from.clone(), publish.clone());
            undelivered.extend(kept);
        }
        undelivered
    }

    /// Delivers to clients of this node. Those that have just moved get it later.
    pub async fn deliver_here(
        &self,
        peers: &Peers,
        from: From,
        publish: &Publish,
        mut relations: SubRelations,
    ) -> Undelivered {
        let mut undelivered = self.queue(&from, publish, &mut relations);
        let Err(failed) = peers.deliver(from, publish, relations.clone()).await else {
            return undelivered;
        };
        for (to, from, publish_to, reason) in failed {
            let of_it = |relation: &&SubRelation| *client_of(relation) == to.client_id;
            match relations.iter().find(of_it) {
                Some(relation)
                    if matters(publish, relation)
                        && self.node_of(client_of(relation)).await.is_some() =>
                {
                    let kept = self.held.keep(relation.clone(), from, publish.clone());
                    undelivered.extend(kept);
                }
                _ => undelivered.push((to, from, publish_to, reason)),
            }
        }
        undelivered
    }

    /// Brings a message to another node.
    async fn deliver_there(
        &self,
        node: NodeId,
        peers: &Peers,
        from: From,
        publish: &Publish,
        mut relations: SubRelations,
    ) -> Undelivered {
        let mut undelivered = self.queue(&from, publish, &mut relations);
        if relations.is_empty() || self.send(node, &from, publish, &relations).await {
            return undelivered;
        }
        for relation in relations {
            if !matters(publish, &relation) {
                let why = "its node does not answer";
                undelivered.push(lost(relation, from.clone(), publish.clone(), why));
                continue;
            }
            // Of those that share a subscription another one may have it.
            let relation = match self.another(&from, publish, &relation).await {
                Some((node, other)) if node == self.node => {
                    let here = self
                        .deliver_here(peers, from.clone(), publish, vec![other])
                        .await;
                    undelivered.extend(here);
                    continue;
                }
                Some((node, other)) => {
                    let relations = vec![other];
                    if self.send(node, &from, publish, &relations).await {
                        continue;
                    }
                    relation
                }
                None => relation,
            };
            let kept = self.held.keep(relation, from.clone(), publish.clone());
            undelivered.extend(kept);
        }
        undelivered
    }

    /// Another member of a shared subscription, at a node that answers.
    async fn another(
        &self,
        from: &From,
        publish: &Publish,
        relation: &SubRelation,
    ) -> Option<(NodeId, SubRelation)> {
        let (filter, _, _, _, Some((group, ..))) = relation else {
            return None;
        };
        let all = self.matches(from, publish).await.into_iter();
        let mut up = all.filter(|(node, _)| !self.is_away(*node));
        up.find_map(|(node, relations)| {
            let mut same = relations.into_iter().filter(|(other, _, _, _, shared)| {
                let other_group = shared.as_ref().map(|(group, ..)| group);
                other == filter && other_group == Some(group)
            });
            Some((node, same.next()?))
        })
    }

    /// Sends a message to another node; gives whether that has it.
    async fn send(
        &self,
        node: NodeId,
        from: &From,
        publish: &Publish,
        relations: &SubRelations,
    ) -> bool {
        let Some(other) = self.others.get(&node) else {
            return false;
        };
        if !self.reach.is_up(node) {
            return false;
        }
        let (from, publish) = (from.clone(), publish.clone());
        let message = Message::ForwardsTo(from, publish, relations.clone(), None);
        match other.ask(RMQTT, message, ANSWER).await {
            Ok(_) => true,
            Err(error) => {
                tracing::debug!("node {node} has not taken a message: {error:#}");
                self.suspect(node);
                false
            }
        }
    }

    /// Delivers what is held, for ever.
    pub async fn deliver_held(self: Arc<Self>, peers: Peers) {
        loop {
            sleep(AGAIN).await;
            if self.held.is_empty() {
                continue;
            }
            let clients: Vec<ClientId> = self.held.clients().keys().cloned().collect();
            for client in clients {
                self.deliver_held_to(&client, &peers).await;
            }
        }
    }

    async fn deliver_held_to(&self, client: &ClientId, peers: &Peers) {
        while let Some((relation, from, publish, since)) = self.held.first(client) {
            let node = self.node_of(client).await;
            let relations = vec![relation.clone()];
            let delivered = match node {
                None => false,
                Some(node) if node == self.node => {
                    let delivered = peers.deliver(from.clone(), &publish, relations).await;
                    delivered.is_ok()
                }
                Some(node) => self.send(node, &from, &publish, &relations).await,
            };
            let why = match node {
                _ if delivered => None,
                None => Some("its client has no session any more"),
                Some(_) if since.elapsed() > HELD => {
                    tracing::error!(
                        client = %client, topic = %publish.topic,
                        "a message is given up: the node of its client has been away too long"
                    );
                    Some("its node has been away too long")
                }
                Some(_) => return,
            };
            self.held.done(client);
            if let Some(why) = why {
                let (to, from, publish, reason) = lost(relation, from, publish, why);
                let hooks = self.broker.extends.hook_mgr();
                hooks.message_dropped(Some(to), from, publish, reason).await;
            }
        }
    }
}
