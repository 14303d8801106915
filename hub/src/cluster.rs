//! Several hubs as one: what each is told, and, with the feature `cluster`, how they act.
//!
//! rmqtt's raft keeps one table of the cluster's clients and subscriptions, in memory, on each
//! node. Sessions, their messages and retained messages are each node's own; what passes
//! between nodes is here:
//!
//! ```text
//! assembly   who begins a cluster, who joins, and whether all mean the same one
//! answers    what other nodes ask of this one
//! delivery   messages on their way to clients of other nodes
//! watch      who answers, whether there is a majority, retained messages that were missed
//! ```

use std::collections::HashSet;

use serde::Deserialize;

use crate::error::HubError;

#[cfg(feature = "cluster")]
mod answers;
#[cfg(feature = "cluster")]
mod assembly;
#[cfg(feature = "cluster")]
mod delivery;
#[cfg(feature = "cluster")]
mod member;
#[cfg(feature = "cluster")]
mod watch;

#[cfg(not(feature = "cluster"))]
mod absent;

#[cfg(not(feature = "cluster"))]
pub use absent::{Cluster, join, prepare};
#[cfg(feature = "cluster")]
pub use member::{Cluster, join, prepare};

/// The fewest nodes: of two, neither may fail.
const FEWEST: usize = 3;

/// Which node of which cluster a hub is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterConfig {
    /// The number of this node.
    pub node: u64,
    /// All nodes, this one too. All have the same list.
    pub nodes: Vec<ClusterNode>,
}

/// A node of a cluster, and where the others find it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterNode {
    /// Its number, from 1.
    pub id: u64,
    /// Where it takes messages from other nodes, HOST:PORT.
    pub grpc: String,
    /// Where it speaks raft, HOST:PORT.
    pub raft: String,
}

/// The section `[cluster]` of `hub.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterSection {
    /// The number of this node, as for the flag `--node`.
    pub node: Option<u64>,
    /// All nodes.
    #[serde(default)]
    pub nodes: Vec<ClusterNode>,
}

impl ClusterConfig {
    /// Finds what cannot work, and says what would.
    pub fn check(&self) -> Result<(), HubError> {
        let wrong = |what: String| Err(HubError::Config(format!("[cluster]: {what}")));
        if !cfg!(feature = "cluster") {
            return wrong("this build has no cluster; build with `--features cluster`".into());
        }
        if self.nodes.len() < FEWEST {
            return wrong(format!(
                "{} nodes are not enough: more than half of all have to run, so list {FEWEST} or \
                 more, each as `[[cluster.nodes]]` with `id`, `grpc` and `raft`",
                self.nodes.len()
            ));
        }
        let mut numbers = HashSet::new();
        let mut addresses = HashSet::new();
        for node in &self.nodes {
            if node.id == 0 {
                return wrong("nodes are numbered from 1".into());
            }
            if !numbers.insert(node.id) {
                return wrong(format!("two nodes have the number {}", node.id));
            }
            for (key, address) in [("grpc", &node.grpc), ("raft", &node.raft)] {
                let port = address.rsplit_once(':').and_then(|(host, port)| {
                    (!host.is_empty()).then(|| port.parse::<u16>().ok())?
                });
                if port.unwrap_or(0) == 0 {
                    return wrong(format!(
                        "`{key} = \"{address}\"` of node {} should be HOST:PORT, as the others \
                         reach it",
                        node.id
                    ));
                }
                if !addresses.insert(address) {
                    return wrong(format!("the address {address} is there twice"));
                }
            }
        }
        if !numbers.contains(&self.node) {
            return wrong(format!(
                "this is node {}, and the list has none of that number",
                self.node
            ));
        }
        Ok(())
    }
}

#[cfg(all(test, not(feature = "cluster")))]
mod tests {
    use super::ClusterConfig;
    use crate::{Hub, HubConfig};

    /// A hub that is told of a cluster runs by itself, and nobody knows.
    #[tokio::test]
    async fn a_build_without_a_cluster_says_so() {
        let config = HubConfig {
            cluster: Some(ClusterConfig {
                node: 1,
                nodes: Vec::new(),
            }),
            ..HubConfig::ephemeral()
        };
        let error = Hub::start(config).await.expect_err("it does not start");
        let error = error.to_string();
        assert!(
            error.contains("this build has no cluster; build with `--features cluster`"),
            "{error}"
        );
    }
}

#[cfg(all(test, feature = "cluster"))]
mod tests {
    use super::{ClusterConfig, ClusterNode};

    fn cluster(node: u64, nodes: &[(u64, &str, &str)]) -> ClusterConfig {
        let nodes = nodes.iter().map(|&(id, grpc, raft)| ClusterNode {
            id,
            grpc: grpc.to_owned(),
            raft: raft.to_owned(),
        });
        ClusterConfig {
            node,
            nodes: nodes.collect(),
        }
    }

    /// A cluster with a mistake in its list falls apart when a node fails, not before.
    #[test]
    fn a_list_that_cannot_work_is_refused() {
        let (one, two, three) = (
            (1, "a:1", "a:2"),
            (2, "b:1", "b:2"),
            (3, "c.example:1", "[::1]:2"),
        );
        cluster(3, &[one, two, three]).check().unwrap();
        for (config, words) in [
            (cluster(1, &[one, two]), "2 nodes are not enough"),
            (cluster(4, &[one, two, three]), "none of that number"),
            (cluster(1, &[one, two, (2, "c:1", "c:2")]), "the number 2"),
            (
                cluster(1, &[one, two, (3, "c:1", "a:1")]),
                "a:1 is there twice",
            ),
            (
                cluster(1, &[one, two, (3, "c:1", "c")]),
                "should be HOST:PORT",
            ),
            (
                cluster(1, &[one, two, (3, "c:0", "c:1")]),
                "should be HOST:PORT",
            ),
            (
                cluster(1, &[one, two, (3, ":1", "c:1")]),
                "should be HOST:PORT",
            ),
            (cluster(1, &[one, two, (0, "c:1", "c:2")]), "from 1"),
        ] {
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
