//! A build without clusters.

use std::sync::Arc;

use rmqtt::context::{ServerContext, ServerContextBuilder};
use rmqtt::shared::Shared;
use rmqtt::types::{From, NodeId, Publish};

use super::ClusterConfig;
use crate::error::HubError;
use crate::peers::{Carried, Delivery, Peers};
use crate::reach::Reach;
use crate::store::Store;

/// There is none.
pub enum Cluster {}

/// Adds nothing to the broker.
pub fn prepare(builder: ServerContextBuilder, _config: &ClusterConfig) -> ServerContextBuilder {
    builder
}

/// Refuses: the configuration was checked before.
pub async fn join(
    _broker: &ServerContext,
    config: &ClusterConfig,
    _reach: Reach,
    _store: Store,
    _peers: impl FnOnce(Arc<Cluster>) -> Peers,
) -> Result<Arc<Cluster>, HubError> {
    config.check()?;
    Err(HubError::Config("this build has no cluster".into()))
}

impl Cluster {
    pub fn notary(&self) -> Option<&dyn Shared> {
        match *self {}
    }

    pub fn is_away(&self, _node: NodeId) -> bool {
        match *self {}
    }

    pub async fn distribute(&self, _peers: &Peers, _from: From, _publish: Publish) -> Delivery {
        match *self {}
    }

    pub fn keep(&self, _client: &rmqtt::types::ClientId, _carried: Carried) {
        match *self {}
    }

    pub async fn ended(&self) -> HubError {
        match *self {}
    }
}
