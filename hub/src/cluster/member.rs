//! A node of a cluster.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures::future::join_all;
use rmqtt::context::{CircuitBreakerConfig, ServerContext, ServerContextBuilder};
use rmqtt::grpc::{GrpcClient, Message, MessageReply, MessageType};
use rmqtt::hook::Type;
use rmqtt::node::Node;
use rmqtt::shared::Shared;
use rmqtt::types::{ClientId, NodeId, Retain, TopicName};
use tokio::sync::watch;

use super::ClusterConfig;
use super::answers::Answers;
use super::assembly::{self, Phase};
use super::delivery::Held;
use crate::error::HubError;
use crate::peers::{Carried, Peers};
use crate::reach::Reach;
use crate::store::Store;

/// How rmqtt's nodes mark what they say to each other.
pub const RMQTT: MessageType = 198;
/// How ours do what rmqtt's would not understand.
pub const ALDIS: MessageType = 1199;

/// How long another node may take to answer.
pub const ANSWER: Duration = Duration::from_secs(2);
/// How many requests to another node may be under way.
const UNDER_WAY: usize = 512;

/// The names under which rmqtt finds its configuration: for who begins, and who joins.
pub const BEGIN: &str = "cluster-begin";
pub const JOIN: &str = "cluster-join";

/// A node of a cluster.
pub struct Cluster {
    pub broker: ServerContext,
    pub node: NodeId,
    pub others: HashMap<NodeId, Other>,
    /// How many nodes are more than half of all.
    pub majority: usize,
    /// The same on all nodes that have the same list.
    pub list: u64,
    pub reach: Reach,
    pub store: Store,
    /// The leader, as it was known last; 0 for none.
    pub leader: AtomicU64,
    pub assembly: Mutex<assembly::State>,
    pub held: Held,
    notary: OnceLock<Box<dyn Shared>>,
    end: watch::Sender<Option<String>>,
}

/// Another node.
pub struct Other {
    pub address: String,
    client: GrpcClient,
}

impl Other {
    /// Asks, and waits for the answer.
    pub async fn ask(
        &self,
        kind: MessageType,
        message: Message,
        limit: Duration,
    ) -> rmqtt::Result<MessageReply> {
        let mut client = self.client.clone();
        match client.send_message(kind, message, Some(limit)).await? {
            MessageReply::Error(error) => Err(rmqtt::Error::msg(error)),
            reply => Ok(reply),
        }
    }
}

/// No request is refused because others failed: whether a node answers is known from asking it.
fn no_breaker() -> CircuitBreakerConfig {
    CircuitBreakerConfig {
        minimum_number_of_calls: usize::MAX,
        ..CircuitBreakerConfig::default()
    }
}

/// Tells the broker which node it is, and of which cluster.
pub fn prepare(builder: ServerContextBuilder, config: &ClusterConfig) -> ServerContextBuilder {
    let another = config.nodes.iter().find(|node| node.id != config.node);
    let another = another.map_or(config.node, |node| node.id);
    builder
        .node(Node::new(config.node, 80.0, 90.0, Duration::from_secs(2)))
        .circuit_breaker_config(no_breaker())
        .plugins_config_map_add(BEGIN, rmqtt_config(config, config.node))
        // Any other: it asks all of them who leads.
        .plugins_config_map_add(JOIN, rmqtt_config(config, another))
}

/// rmqtt's own configuration. Without a leader named, each node that finds none makes itself one.
fn rmqtt_config(config: &ClusterConfig, leader: u64) -> String {
    let list = |address: fn(&super::ClusterNode) -> &str| {
        let nodes = config.nodes.iter();
        let items = nodes.map(|node| format!("\"{}@{}\"", node.id, address(node)));
        items.collect::<Vec<_>>().join(", ")
    };
    let mut text = String::new();
    let _ = writeln!(text, "node_grpc_addrs = [{}]", list(|node| &node.grpc));
    let _ = writeln!(text, "raft_peer_addrs = [{}]", list(|node| &node.raft));
    let _ = writeln!(text, "leader_id = {leader}");
    let seconds = ANSWER.as_secs();
    let _ = writeln!(text, "node_grpc_client_timeout = \"{seconds}s\"");
    text.push_str(
        "worker_threads = 2\n\
         try_lock_timeout = \"5s\"\n\
         [health]\n\
         # It would be told every two seconds; the watch tells it.\n\
         unavailable_check_interval = \"1d\"\n\
         [raft]\n\
         grpc_timeout = \"2s\"\n\
         heartbeat = \"100ms\"\n\
         heartbeat_tick = 3\n\
         election_tick = 15\n",
    );
    text
}

/// Joins the cluster, or begins it. It takes as long as it takes for enough nodes to be there;
/// what is waited for is told.
pub async fn join(
    broker: &ServerContext,
    config: &ClusterConfig,
    reach: Reach,
    store: Store,
    peers: impl FnOnce(Arc<Cluster>) -> Peers,
) -> Result<Arc<Cluster>, HubError> {
    let own = config.nodes.iter().find(|node| node.id == config.node);
    let own = own.ok_or_else(|| HubError::Config("[cluster]: no such node".into()))?;
    let grpc = free(&own.grpc).await?;
    free(&own.raft).await?;

    let mut others = HashMap::new();
    for node in config.nodes.iter().filter(|node| node.id != config.node) {
        let client = GrpcClient::new(&node.grpc, ANSWER, UNDER_WAY, &no_breaker()).await;
        let client = client.map_err(|error| {
            HubError::Config(format!(
                "[cluster]: the address {} of node {} cannot be used: {error:#}",
                node.grpc, node.id
            ))
        })?;
        let address = node.grpc.clone();
        others.insert(node.id, Other { address, client });
    }
    let mut list: Vec<_> = config.nodes.iter().collect();
    list.sort_by_key(|node| node.id);
    let mut hash = DefaultHasher::new();
    for node in list {
        (node.id, &node.grpc, &node.raft).hash(&mut hash);
    }
    let cluster = Arc::new(Cluster {
        broker: broker.clone(),
        node: config.node,
        others,
        majority: config.nodes.len() / 2 + 1,
        list: hash.finish(),
        reach,
        store,
        leader: AtomicU64::new(0),
        assembly: Mutex::default(),
        held: Held::default(),
        notary: OnceLock::new(),
        end: watch::Sender::new(None),
    });
    let peers = peers(cluster.clone());

    let hooks = broker.extends.hook_mgr().register();
    let answers = Answers::new(cluster.clone(), peers.clone());
    hooks
        .add_priority(Type::GrpcMessageReceived, 1, Box::new(answers))
        .await;
    hooks.start().await;
    broker
        .node
        .start_grpc_server(broker.clone(), grpc, true, false);
    assembly::assemble(&cluster).await?;

    // rmqtt has put its own table there.
    let notary = {
        let mut shared = broker.extends.shared_mut().await;
        std::mem::replace(&mut *shared, Box::new(peers.clone()))
    };
    let _ = cluster.notary.set(notary);
    cluster.assembly().phase = Phase::Member;
    cluster.catch_up().await;
    tokio::spawn(cluster.clone().watch());
    tokio::spawn(cluster.clone().deliver_held(peers));
    Ok(cluster)
}

/// The address, if nobody listens there.
async fn free(address: &str) -> Result<SocketAddr, HubError> {
    let name = address.to_owned();
    let bound = tokio::task::spawn_blocking(move || {
        let mut found = name.to_socket_addrs()?;
        let addr = found
            .next()
            .ok_or_else(|| std::io::Error::other("the name has no address"))?;
        TcpListener::bind(addr).map(|_| addr)
    });
    let bound = bound
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)));
    bound.map_err(|error| {
        HubError::Config(format!(
            "[cluster]: cannot listen on {address} for the other nodes: {error}; each node \
             listens on the addresses that the list has for its number"
        ))
    })
}

impl Cluster {
    /// The cluster's table of clients and subscriptions, once there is one.
    pub fn notary(&self) -> Option<&dyn Shared> {
        self.notary.get().map(|notary| &**notary)
    }

    /// Whether this is another node that does not answer.
    pub fn is_away(&self, node: NodeId) -> bool {
        node != self.node && !self.reach.is_up(node)
    }

    pub fn assembly(&self) -> std::sync::MutexGuard<'_, assembly::State> {
        self.assembly
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Hands messages to a client later, wherever it is then.
    pub fn keep(&self, client: &ClientId, carried: Carried) {
        for (from, publish) in carried.into_messages() {
            self.held.keep_for(client, from, publish);
        }
    }

    /// Gives all other nodes a retained message.
    pub async fn retain(&self, topic: &TopicName, retain: &Retain) {
        let up = self.others.iter().filter(|(id, _)| self.reach.is_up(**id));
        let asked = up.map(|(id, other)| async move {
            let message = Message::SetRetain(topic.clone(), retain.clone(), None);
            if let Err(error) = other.ask(RMQTT, message, ANSWER).await {
                tracing::debug!("node {id} has not taken a retained message: {error:#}");
                // Once it answers again, it is asked for all that differs.
                self.suspect(*id);
            }
        });
        join_all(asked).await;
    }

    /// Ends this hub, because it can be of no use as it is.
    pub fn end(&self, why: String) {
        self.end.send_replace(Some(why));
    }

    /// Waits until this hub can be of no use any more; gives the reason.
    pub async fn ended(&self) -> HubError {
        let mut end = self.end.subscribe();
        let why = end.wait_for(Option::is_some).await.ok();
        match why.and_then(|why| why.clone()) {
            Some(why) => HubError::Cluster(why),
            None => std::future::pending().await,
        }
    }
}
