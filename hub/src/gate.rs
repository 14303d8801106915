//! The gate: asks [`Access`] whenever a client connects, subscribes or publishes.

use std::sync::Arc;

use async_trait::async_trait;
use rmqtt::codec::v5::SubscribeAckReason;
use rmqtt::hook::{Handler, HookResult, Parameter, Register, ReturnType, Type};
use rmqtt::types::{AuthResult, ConnectInfo, Id, LastWill, PublishAclResult, SubscribeReturn};
use tokio::sync::Semaphore;

use crate::access::{Access, Action, Subject};

/// How many passwords are checked at a time: each takes a core and 19 MiB.
const CONCURRENT_CHECKS: usize = 2;

#[derive(Debug, Clone)]
struct Gate {
    access: Arc<Access>,
    checks: Arc<Semaphore>,
}

/// Puts the gate in front of the broker.
pub async fn install(register: &dyn Register, access: Access) {
    let gate = Gate {
        access: Arc::new(access),
        checks: Arc::new(Semaphore::new(CONCURRENT_CHECKS)),
    };
    for point in [
        Type::ClientAuthenticate,
        Type::ClientSubscribeCheckAcl,
        Type::MessagePublishCheckAcl,
    ] {
        register.add(point, Box::new(gate.clone())).await;
    }
}

impl Gate {
    async fn authenticate(&self, connect: &ConnectInfo) -> AuthResult {
        let id = connect.id();
        if let Some(user) = connect.username()
            && !self.access.users.is_empty()
        {
            let Some(password) = connect.password().cloned() else {
                return AuthResult::BadUsernameOrPassword;
            };
            let (access, user) = (self.access.clone(), user.to_string());
            let Ok(_turn) = self.checks.acquire().await else {
                return AuthResult::NotAuthorized;
            };
            let checked =
                tokio::task::spawn_blocking(move || access.verify(&user, &password)).await;
            if !checked.unwrap_or(false) {
                tracing::info!(client = %id.client_id, "refused: unknown user or wrong password");
                return AuthResult::BadUsernameOrPassword;
            }
        } else if !self.access.allows_anonymous() {
            tracing::info!(client = %id.client_id, "refused: no user name");
            return AuthResult::NotAuthorized;
        }
        // The broker publishes a will without asking again.
        if let Some(will) = connect.last_will() {
            if let LastWill::V5(will) = &will
                && let Some(topic) = &will.response_topic
                && !is_topic_name(topic)
            {
                return AuthResult::NotAuthorized;
            }
            let topic = match will {
                LastWill::V3(will) => &will.topic,
                LastWill::V5(will) => &will.topic,
            };
            if !self.permits(id, Action::Publish, topic) {
                return AuthResult::NotAuthorized;
            }
        }
        AuthResult::Allow(false, None)
    }

    fn permits(&self, id: &Id, action: Action, topic: &str) -> bool {
        let subject = Subject {
            user: id.username.as_deref(),
            client: &id.client_id,
        };
        let permitted = self.access.permits(subject, action, topic);
        if !permitted {
            tracing::info!(client = %id.client_id, ?action, topic, "forbidden by the access rules");
        }
        permitted
    }
}

/// Whether something can be published there (MQTT-3.3.2-14, MQTT-4.7.3-1, MQTT-4.7.3-2).
/// rmqtt does not look at response topics, and clients that do leave the broker that
/// sends them another.
fn is_topic_name(topic: &str) -> bool {
    !topic.is_empty() && !topic.contains(['+', '#', '\0'])
}

#[async_trait]
impl Handler for Gate {
    async fn hook(&self, parameter: &Parameter, acc: Option<HookResult>) -> ReturnType {
        match parameter {
            Parameter::ClientAuthenticate(connect) => {
                let result = self.authenticate(connect).await;
                (false, Some(HookResult::AuthResult(result)))
            }
            Parameter::ClientSubscribeCheckAcl(session, subscribe) => {
                let topic = &subscribe.topic_filter;
                let result = if self.permits(&session.id, Action::Subscribe, topic) {
                    SubscribeReturn::new_success(subscribe.opts.qos(), None)
                } else {
                    SubscribeReturn::new_failure(SubscribeAckReason::NotAuthorized)
                };
                (false, Some(HookResult::SubscribeAclResult(result)))
            }
            Parameter::MessagePublishCheckAcl(session, publish) => {
                let response = publish.properties.as_ref();
                let response = response.and_then(|of| of.response_topic.as_deref());
                let result = if response.is_some_and(|topic| !is_topic_name(topic)) {
                    tracing::info!(client = %session.id.client_id, "a response topic that is none");
                    PublishAclResult::rejected(true, None)
                } else if self.permits(&session.id, Action::Publish, &publish.topic) {
                    PublishAclResult::allow()
                } else {
                    PublishAclResult::rejected(false, None)
                };
                (false, Some(HookResult::PublishAclResult(result)))
            }
            _ => (true, acc),
        }
    }
}
