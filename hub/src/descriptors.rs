//! How many files and connections the system lets this process have open.

/// What is kept for files, the store, the dashboard and the hub's own connections, at most.
const RESERVE: u64 = 1_024;

/// Where the system tells nothing: what most give at least.
const USUAL: u64 = 1_024;

/// Raises the limit as far as this user may, and gives it.
#[cfg(unix)]
pub fn raise() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // macOS tells that there is no limit, and takes none.
    let now = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    now.unwrap_or(u64::MAX)
}

#[cfg(not(unix))]
pub fn raise() -> u64 {
    // Sockets are no files there; what bounds them is memory.
    USUAL.saturating_mul(64)
}

/// How many of so many may be clients' connections.
pub fn for_connections(limit: u64) -> usize {
    let limit = limit.max(USUAL / 16);
    let reserve = (limit / 4).min(RESERVE);
    usize::try_from(limit.saturating_sub(reserve)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Connections take what the store and the dashboard need.
    #[test]
    fn some_are_kept_for_everything_else() {
        assert_eq!(for_connections(1_024), 768);
        assert_eq!(for_connections(65_536), 64_512);
        assert_eq!(for_connections(0), 48);
        assert!(for_connections(u64::MAX) > 1_000_000);
    }

    /// Most systems begin with 1,024 though more is allowed.
    #[test]
    #[cfg(unix)]
    fn what_may_be_had_is_taken() {
        use rustix::process::{Resource, getrlimit};

        let given = raise();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current.unwrap_or(u64::MAX), given);
    }
}
