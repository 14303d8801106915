//! What is to happen, in the order of time; at the same time, in the order in which it was said.

/// What is to happen.
///
/// Nearly all of it is to happen soon, and finds its place near the end: a sorted vector takes
/// half the instructions of a heap.
#[derive(Clone, Debug)]
pub(crate) struct Queue<E> {
    /// The latest first.
    events: Vec<(u64, E)>,
}

impl<E> Queue<E> {
    pub fn new() -> Self {
        Self { events: Vec::new() }
    }

    pub fn push(&mut self, at: u64, event: E) {
        let place = self.events.partition_point(|(other, _)| *other > at);
        self.events.insert(place, (at, event));
    }

    pub fn next_at(&self) -> u64 {
        self.events.last().map_or(u64::MAX, |(at, _)| *at)
    }

    pub fn pop(&mut self) -> Option<(u64, E)> {
        self.events.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events of one moment that change places make a run that nobody can repeat.
    #[test]
    fn one_moment_keeps_its_order() {
        let mut queue = Queue::new();
        for (at, event) in [(5, 'd'), (3, 'a'), (5, 'e'), (3, 'b'), (4, 'c')] {
            queue.push(at, event);
        }
        assert_eq!(queue.next_at(), 3);
        let order: String = std::iter::from_fn(|| queue.pop().map(|(_, event)| event)).collect();
        assert_eq!(order, "abcde");
        assert_eq!(queue.next_at(), u64::MAX);
    }
}
