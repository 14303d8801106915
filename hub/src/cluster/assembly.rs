//! Who begins a cluster, and who joins it.
//!
//! rmqtt's raft is in memory: a node that starts knows nothing and has to join the others, and
//! when none of them has a cluster, exactly one has to begin it. Two that began would be two
//! clusters for ever. So a node begins only if more than half of all nodes, itself one of
//! them, wait as well and let it; each lets one begin at a time. Of those that wait it is the
//! one with the lowest number.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::future::join_all;
use rmqtt::grpc::{Message, MessageReply};
use rmqtt::types::NodeId;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::member::{ALDIS, BEGIN, Cluster, JOIN};
use crate::error::HubError;

/// How long a node that waits takes no other than the one it let begin.
const GRANT: Duration = Duration::from_secs(10);
/// How often the others are asked.
const ROUND: Duration = Duration::from_millis(300);
/// How long another node may take to say where it stands.
const WORD: Duration = Duration::from_millis(800);
/// When it is told first what is waited for, and how often.
const SOON: Duration = Duration::from_secs(3);
const AGAIN: Duration = Duration::from_secs(30);

/// Where a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Phase {
    /// It waits for a cluster.
    #[default]
    Waiting,
    /// It has joined one, or begins it.
    Member,
}

/// What a node knows of the beginning.
#[derive(Debug, Default)]
pub struct State {
    pub phase: Phase,
    granted: Option<(NodeId, Instant)>,
}

/// What nodes ask each other.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Question {
    node: NodeId,
    list: u64,
    /// Whether it wants to begin.
    begin: bool,
}

/// What they answer.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Word {
    pub list: u64,
    pub phase: Phase,
    /// The leader, as it is known there; 0 for none.
    pub leader: NodeId,
    /// Whether the one who asked may begin.
    granted: bool,
}

impl State {
    /// Lets a node begin, if none else was let.
    fn grant(&mut self, node: NodeId, now: Instant) -> bool {
        let free = match self.granted {
            Some((other, since)) => other == node || now.saturating_duration_since(since) > GRANT,
            None => true,
        };
        let granted = free && self.phase == Phase::Waiting;
        if granted {
            self.granted = Some((node, now));
        }
        granted
    }
}

impl Cluster {
    /// Answers another node's question.
    pub fn answer(&self, question: Question) -> Word {
        let mut state = self.assembly();
        let same = question.list == self.list;
        Word {
            list: self.list,
            phase: state.phase,
            leader: self.leader.load(Ordering::Acquire),
            granted: same && question.begin && state.grant(question.node, Instant::now()),
        }
    }

    /// Asks all other nodes; gives what those say that answer.
    pub async fn words(&self, begin: bool) -> Vec<(NodeId, Word)> {
        let question = Question {
            node: self.node,
            list: self.list,
            begin,
        };
        let Ok(bytes) = postcard::to_stdvec(&question) else {
            return Vec::new();
        };
        let asked = self.others.iter().map(|(id, other)| async {
            let message = Message::Data(bytes.clone());
            match other.ask(ALDIS, message, WORD).await {
                Ok(MessageReply::Data(bytes)) => Some((*id, postcard::from_bytes(&bytes).ok()?)),
                _ => None,
            }
        });
        join_all(asked).await.into_iter().flatten().collect()
    }
}

/// Joins the cluster that is there, or begins one.
pub async fn assemble(cluster: &Cluster) -> Result<(), HubError> {
    let began = Instant::now();
    let mut tell = SOON;
    loop {
        let words = cluster.words(false).await;
        if let Some((node, _)) = words.iter().find(|(_, word)| word.list != cluster.list) {
            return Err(HubError::Config(format!(
                "[cluster]: node {node} has another list of nodes than this one; give all of \
                 them the same"
            )));
        }
        let waiting: Vec<NodeId> = words
            .iter()
            .filter(|(_, word)| word.phase == Phase::Waiting)
            .map(|(node, _)| *node)
            .collect();
        if words.len() > waiting.len() {
            // rmqtt ends the process when it cannot reach the leader that it was told: this node
            // may have been it.
            if !leads(&words) {
                tell = cluster.tell(began.elapsed(), tell, &words);
                sleep(ROUND).await;
                continue;
            }
            match start(cluster, JOIN).await {
                Ok(()) => return Ok(()),
                Err(error) => tracing::debug!("joining: {error:#}"),
            }
        } else if may_begin(cluster, &waiting).await {
            cluster.assembly().phase = Phase::Member;
            return start(cluster, BEGIN).await.map_err(|error| {
                HubError::Cluster(format!("the cluster cannot be begun: {error:#}"))
            });
        }
        tell = cluster.tell(began.elapsed(), tell, &words);
        sleep(ROUND).await;
    }
}

/// Whether a node that answers leads, as all members say.
fn leads(words: &[(NodeId, Word)]) -> bool {
    let mut members = words.iter().filter(|(_, word)| word.phase == Phase::Member);
    let Some((_, first)) = members.next() else {
        return false;
    };
    let agreed = members.all(|(_, word)| word.leader == first.leader);
    let is_leader =
        |(node, word): &(NodeId, Word)| *node == first.leader && word.phase == Phase::Member;
    agreed && words.iter().any(is_leader)
}

async fn start(cluster: &Cluster, name: &'static str) -> rmqtt::Result<()> {
    rmqtt_cluster_raft::register_named(&cluster.broker, name, true, false).await
}

/// Whether this node is to begin, and more than half of all let it.
async fn may_begin(cluster: &Cluster, waiting: &[NodeId]) -> bool {
    let enough = waiting.len() + 1 >= cluster.majority;
    if !enough || waiting.iter().any(|node| *node < cluster.node) {
        return false;
    }
    if !cluster.assembly().grant(cluster.node, Instant::now()) {
        return false;
    }
    let words = cluster.words(true).await;
    let members = words.iter().any(|(_, word)| word.phase == Phase::Member);
    let granted = words.iter().filter(|(_, word)| word.granted).count();
    !members && granted + 1 >= cluster.majority
}

impl Cluster {
    /// Tells what is waited for, if it is time; gives when it is time again.
    fn tell(&self, waited: Duration, at: Duration, words: &[(NodeId, Word)]) -> Duration {
        if waited < at {
            return at;
        }
        tracing::warn!("{}", self.missing(words));
        at.saturating_add(AGAIN)
    }

    /// What a node that waits is waiting for.
    fn missing(&self, words: &[(NodeId, Word)]) -> String {
        let here = words.len() + 1;
        let all = self.others.len() + 1;
        let away = self.away(|node| !words.iter().any(|(other, _)| *other == node));
        match here >= self.majority {
            false => format!(
                "node {} waits for its cluster: {} of {all} nodes have to run, and {away}. \
                 Nobody can connect here until then",
                self.node, self.majority
            ),
            true => format!(
                "node {} waits until the others let it join; they have no leader yet. Nobody can \
                 connect here until then",
                self.node
            ),
        }
    }

    /// Which nodes are away, in words.
    pub fn away(&self, is_away: impl Fn(NodeId) -> bool) -> String {
        let mut away: Vec<_> = self.others.iter().filter(|(id, _)| is_away(**id)).collect();
        away.sort_by_key(|(id, _)| **id);
        let names: Vec<String> = away
            .iter()
            .map(|(id, other)| format!("node {id} ({})", other.address))
            .collect();
        match &names[..] {
            [] => "all of them answer".to_owned(),
            [one] => format!("{one} does not answer"),
            many => format!("{} do not answer", many.join(" and ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{GRANT, Phase, State, Word, leads};

    fn word(node: u64, phase: Phase, leader: u64) -> (u64, Word) {
        let granted = false;
        let list = 1;
        let word = Word {
            list,
            phase,
            leader,
            granted,
        };
        (node, word)
    }

    /// A node that joins by a leader that is gone ends its process.
    #[test]
    fn a_leader_is_one_that_answers() {
        let (member, waiting) = (Phase::Member, Phase::Waiting);
        assert!(leads(&[word(2, member, 2), word(3, member, 2)]));
        assert!(leads(&[word(2, member, 2), word(3, waiting, 0)]));
        // This node was it.
        assert!(!leads(&[word(2, member, 1), word(3, member, 1)]));
        assert!(!leads(&[word(2, member, 2), word(3, member, 1)]));
        assert!(!leads(&[word(2, waiting, 2), word(3, member, 2)]));
        assert!(!leads(&[word(2, member, 0), word(3, member, 0)]));
        assert!(!leads(&[]));
    }

    /// Two nodes that were both let begin are two clusters for ever.
    #[test]
    fn one_node_is_let_begin_at_a_time() {
        let now = Instant::now();
        let mut state = State::default();
        assert!(state.grant(2, now));
        assert!(state.grant(2, now));
        assert!(!state.grant(1, now + GRANT));
        assert!(state.grant(1, now + GRANT + Duration::from_millis(1)));
        state.phase = Phase::Member;
        assert!(!state.grant(1, now + GRANT * 3));
    }
}
