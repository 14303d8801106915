//! What is to happen, in the order of time; at the same time, in the order in which it was said.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// What is to happen.
#[derive(Clone, Debug)]
pub(crate) struct Queue<E> {
    heap: BinaryHeap<Item<E>>,
    count: u64,
}

#[derive(Clone, Copy, Debug)]
struct Item<E> {
    at: u64,
    count: u64,
    event: E,
}

impl<E> PartialEq for Item<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Item<E> {}

impl<E> PartialOrd for Item<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Item<E> {
    /// The earliest is the greatest: what a heap gives first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.count).cmp(&(self.at, self.count))
    }
}

impl<E> Queue<E> {
    pub fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            count: 0,
        }
    }

    pub fn push(&mut self, at: u64, event: E) {
        self.count += 1;
        let count = self.count;
        self.heap.push(Item { at, count, event });
    }

    pub fn next_at(&self) -> u64 {
        self.heap.peek().map_or(u64::MAX, |item| item.at)
    }

    pub fn pop(&mut self) -> Option<(u64, E)> {
        self.heap.pop().map(|item| (item.at, item.event))
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
