//! Who may connect, and which topics they may use.

use std::collections::BTreeSet;

use argon2::password_hash::{
    PasswordHash, PasswordHasher, PasswordVerifier, SaltString, rand_core,
};
use argon2::{Argon2, Params};
use serde::Deserialize;

use crate::error::HubError;
use crate::filter;

/// Who may connect, and which topics they may use.
///
/// Without users all clients of this machine may connect; without rules they may use every
/// topic. From elsewhere nobody comes in without a name and its password.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Whether a client of this machine without a user name may connect; by default only
    /// while no users are listed.
    pub anonymous: Option<bool>,
    /// The users that may connect.
    pub users: Vec<User>,
    /// The rules in order: the first that fits decides, and if there are rules but
    /// none fits, the answer is no.
    pub rules: Vec<Rule>,
}

/// A user that may connect.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The user's name.
    pub name: String,
    /// The hash of the password, as [`hash_password`] makes it.
    pub password: String,
}

/// Whether a rule opens topics or closes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// The topics may be used.
    Allow,
    /// The topics may not be used.
    Deny,
}

/// What a client wants to do with a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Publish to a topic, directly or by a will.
    Publish,
    /// Subscribe to a topic filter.
    Subscribe,
}

/// One rule: who, what, where, and yes or no.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Yes or no.
    pub effect: Effect,
    /// What the rule is about; absent: both.
    #[serde(default)]
    pub action: Option<Action>,
    /// The user it is about; absent: everybody, also clients without a user name.
    #[serde(default)]
    pub user: Option<String>,
    /// The client id it is about; absent: all.
    #[serde(default)]
    pub client: Option<String>,
    /// Topic filters, in which `%u` stands for the user name and `%c` for the client id.
    pub topics: Vec<String>,
}

/// A hash that no password has, checked for unknown users so that they wait as long as people do.
pub(crate) const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$Zk9sS3pWc1hKd2ZRb1RyYg$\
                      6m4sN1lq0tqVJ0m8nXk1V5m0oQ3bq3Yx2v8k9m1c0uE";

/// A client as the rules see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub user: Option<&'a str>,
    pub client: &'a str,
}

/// A password could not be hashed.
#[derive(Debug, thiserror::Error)]
#[error("cannot hash the password: {0}")]
pub struct HashError(String);

impl From<argon2::password_hash::Error> for HashError {
    fn from(error: argon2::password_hash::Error) -> Self {
        Self(error.to_string())
    }
}

/// The hash of a password for [`User::password`], with a fresh salt.
pub fn hash_password(password: &str) -> Result<String, HashError> {
    let salt = SaltString::generate(&mut rand_core::OsRng);
    Ok(hasher()
        .hash_password(password.as_bytes(), &salt)?
        .to_string())
}

/// Whether a hash is of this password.
pub(crate) fn fits(hash: &str, password: &[u8]) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| hasher().verify_password(password, &hash).is_ok())
}

/// OWASP's least memory for Argon2id: a Raspberry Pi checks it in well under a second.
fn hasher() -> Argon2<'static> {
    let params = Params::new(19 * 1024, 2, 1, None).unwrap_or_default();
    Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
}

impl Access {
    /// Whether a client of this machine without a user name may connect.
    pub fn allows_anonymous(&self) -> bool {
        self.anonymous.unwrap_or(self.users.is_empty())
    }

    /// Finds mistakes that would otherwise show only when somebody connects.
    /// `others` are names that are no users of these and may have rules.
    pub(crate) fn check(&self, others: &[&str]) -> Result<(), HubError> {
        for (index, user) in self.users.iter().enumerate() {
            if user.name.is_empty() {
                return Err(HubError::Config("a user needs a name".to_owned()));
            }
            if user.name.starts_with('$') {
                return Err(HubError::Config(format!(
                    "the user `{}`: names that begin with `$` are the hub's own; choose another",
                    user.name
                )));
            }
            if others.contains(&user.name.as_str()) {
                return Err(HubError::Config(format!(
                    "the user `{}` is the owner or a paired device already, in keys.toml; choose \
                     another name",
                    user.name
                )));
            }
            if self.users.iter().take(index).any(|u| u.name == user.name) {
                return Err(HubError::Config(format!(
                    "the user `{}` is listed twice; keep one",
                    user.name
                )));
            }
            if PasswordHash::new(&user.password).is_err() {
                return Err(HubError::Config(format!(
                    "the password of the user `{}` is not a hash; make one with `aldis hub --hash-password`",
                    user.name
                )));
            }
        }
        for rule in &self.rules {
            if rule.topics.is_empty() {
                return Err(HubError::Config(
                    "a rule needs `topics`, for example `topics = [\"aldis/%u/#\"]`".to_owned(),
                ));
            }
            for topic in &rule.topics {
                if let Some(fault) = filter::fault(topic) {
                    return Err(HubError::Config(format!(
                        "the topic filter `{topic}` of a rule is wrong: {fault}"
                    )));
                }
            }
        }
        if !self.allows_anonymous() && self.users.is_empty() && others.is_empty() {
            return Err(HubError::Config(
                "nobody could connect: `anonymous = false` needs at least one `[[user]]`"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// Names that rules are about and nobody has. A device may be unpaired and paired again, so
    /// they are no mistake, but may be one.
    pub(crate) fn nobodies<'a>(&'a self, others: &[&str]) -> BTreeSet<&'a str> {
        let named = self.rules.iter().filter_map(|rule| rule.user.as_deref());
        named
            .filter(|user| !self.users.iter().any(|known| known.name == *user))
            .filter(|user| !others.contains(user))
            .collect()
    }

    /// The hash of this user's password, if the user is listed.
    pub(crate) fn hash_of(&self, user: &str) -> Option<&str> {
        let known = self.users.iter().find(|known| known.name == user);
        known.map(|known| known.password.as_str())
    }

    /// Whether the client may do this with the topic (or, to subscribe, with the filter).
    pub(crate) fn permits(&self, subject: Subject<'_>, action: Action, topic: &str) -> bool {
        self.decides(subject, action, topic)
            .unwrap_or(self.rules.is_empty())
    }

    /// What the first rule says that fits, if one does.
    pub(crate) fn decides(
        &self,
        subject: Subject<'_>,
        action: Action,
        topic: &str,
    ) -> Option<bool> {
        for rule in &self.rules {
            if rule.action.is_some_and(|only| only != action)
                || rule
                    .user
                    .as_deref()
                    .is_some_and(|only| Some(only) != subject.user)
                || rule
                    .client
                    .as_deref()
                    .is_some_and(|only| only != subject.client)
            {
                continue;
            }
            let mut filters = rule
                .topics
                .iter()
                .filter_map(|topic| fill_in(topic, subject));
            // What a subscription may bring decides: all of it must be allowed, none denied.
            let fits = match rule.effect {
                Effect::Allow => filters.any(|allowed| filter::covers(&allowed, topic)),
                Effect::Deny => filters.any(|denied| filter::overlaps(&denied, topic)),
            };
            if fits {
                return Some(rule.effect == Effect::Allow);
            }
        }
        None
    }
}

/// The filter with the client's names in place, or nothing if it does not fit this client.
///
/// A name with `/`, `+` or `#` would widen the rule, so such a client does not get it.
fn fill_in(template: &str, subject: Subject<'_>) -> Option<String> {
    let mut filter = template.to_owned();
    for (placeholder, name) in [("%u", subject.user), ("%c", Some(subject.client))] {
        if template.contains(placeholder) {
            let name = name.filter(|name| !name.is_empty() && !name.contains(['/', '+', '#']))?;
            // A user called `%c` must not become the client id.
            if name.contains('%') {
                return None;
            }
            filter = filter.replace(placeholder, name);
        }
    }
    Some(filter)
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::PasswordHash;

    use super::{Access, Action, Effect, NOBODY, Rule, Subject, User, fits, hash_password};

    fn rule(effect: Effect, action: Option<Action>, topic: &str) -> Rule {
        Rule {
            effect,
            action,
            user: None,
            client: None,
            topics: vec![topic.to_owned()],
        }
    }

    fn access(rules: Vec<Rule>) -> Access {
        Access {
            rules,
            ..Access::default()
        }
    }

    const KITCHEN: Subject<'_> = Subject {
        user: Some("kitchen"),
        client: "c1",
    };

    /// A password check that accepts anything, or nothing, protects nothing.
    #[test]
    fn only_the_right_password_of_a_known_user_passes() {
        let password = hash_password("correct horse").unwrap();
        let access = Access {
            users: vec![User {
                name: "kitchen".to_owned(),
                password,
            }],
            ..Access::default()
        };
        access.check(&[]).unwrap();
        let hash = access.hash_of("kitchen").unwrap();
        assert!(fits(hash, b"correct horse"));
        assert!(!fits(hash, b"wrong"));
        assert!(!fits(hash, b""));
        assert!(!fits("", b"") && !fits(NOBODY, b"") && !fits("correct horse", b"correct horse"));
        assert_eq!(access.hash_of("attic"), None);
        assert!(!access.allows_anonymous());
    }

    /// An unreadable stand-in would answer at once and so tell which people exist.
    #[test]
    fn the_stand_in_for_unknown_users_is_a_hash() {
        assert!(PasswordHash::new(NOBODY).is_ok_and(|hash| hash.hash.is_some()));
    }

    /// Equal hashes would tell who shares a password.
    #[test]
    fn every_hash_has_its_own_salt() {
        assert_ne!(hash_password("a").unwrap(), hash_password("a").unwrap());
    }

    /// Rules that are not there must not lock anybody out.
    #[test]
    fn without_rules_everything_is_permitted() {
        assert!(Access::default().allows_anonymous());
        assert!(Access::default().permits(KITCHEN, Action::Publish, "any/thing"));
    }

    /// With rules, what nobody thought of stays closed.
    #[test]
    fn the_first_rule_that_fits_decides_and_the_rest_is_denied() {
        let access = access(vec![
            rule(Effect::Deny, None, "aldis/secret/#"),
            rule(Effect::Allow, Some(Action::Publish), "aldis/%u/#"),
            rule(Effect::Allow, Some(Action::Subscribe), "aldis/#"),
        ]);
        assert!(access.permits(KITCHEN, Action::Publish, "aldis/kitchen/led"));
        assert!(!access.permits(KITCHEN, Action::Publish, "aldis/attic/led"));
        assert!(!access.permits(KITCHEN, Action::Publish, "other"));
        assert!(access.permits(KITCHEN, Action::Subscribe, "aldis/attic/#"));
        assert!(!access.permits(KITCHEN, Action::Subscribe, "aldis/secret/door"));
        // It would bring the secret too.
        assert!(!access.permits(KITCHEN, Action::Subscribe, "aldis/#"));
    }

    /// A client could choose a name that widens its own rule.
    #[test]
    fn names_with_wildcards_are_not_filled_in() {
        let access = access(vec![rule(Effect::Allow, None, "aldis/%c/#")]);
        let with = |client| Subject { user: None, client };
        assert!(access.permits(with("kitchen"), Action::Subscribe, "aldis/kitchen/led"));
        for client in ["+", "#", "a/b", "", "%u"] {
            assert!(
                !access.permits(with(client), Action::Subscribe, "aldis/+/led"),
                "{client}"
            );
            assert!(
                !access.permits(with(client), Action::Publish, "aldis/a/b"),
                "{client}"
            );
        }
        let by_user = Access {
            rules: vec![rule(Effect::Allow, None, "aldis/%u/#")],
            ..Access::default()
        };
        assert!(!by_user.permits(with("kitchen"), Action::Publish, "aldis//led"));
    }

    /// A mistake in the file would show only when somebody is refused.
    #[test]
    fn mistakes_are_found_at_the_start() {
        let user = |name: &str, password: &str| User {
            name: name.to_owned(),
            password: password.to_owned(),
        };
        let hash = hash_password("x").unwrap();
        let broken = [
            Access {
                users: vec![user("a", "plain text")],
                ..Access::default()
            },
            Access {
                users: vec![user("a", &hash), user("a", &hash)],
                ..Access::default()
            },
            Access {
                users: vec![user("", &hash)],
                ..Access::default()
            },
            Access {
                users: vec![user("$hub", &hash)],
                ..Access::default()
            },
            Access {
                anonymous: Some(false),
                ..Access::default()
            },
            access(vec![rule(Effect::Allow, None, "a/#/b")]),
            access(vec![Rule {
                topics: vec![],
                ..rule(Effect::Allow, None, "a")
            }]),
        ];
        for access in broken {
            assert!(access.check(&[]).is_err(), "{access:?}");
        }
        // Nobody has the name any more, or not yet.
        let about = |user: &str| Rule {
            user: Some(user.to_owned()),
            ..rule(Effect::Allow, None, "a")
        };
        let left = Access {
            users: vec![user("ann", &hash)],
            ..access(vec![
                about("ghost"),
                about("ann"),
                about("kitchen"),
                about("ghost"),
            ])
        };
        left.check(&["kitchen"]).unwrap();
        assert_eq!(Vec::from_iter(left.nobodies(&["kitchen"])), ["ghost"]);
        // The owner comes in.
        let owned = Access {
            anonymous: Some(false),
            ..Access::default()
        };
        owned.check(&["owner"]).unwrap();
    }
}
