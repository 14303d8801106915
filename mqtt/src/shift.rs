//! Closing gaps.

use core::cell::Cell;

/// Moves the items from `from` on down to `to`, one by one.
///
/// Gaps are rare and short, so this is not worth the size of `memmove`.
#[inline(never)]
pub(crate) fn move_down<T: Copy>(items: &mut [T], from: usize, to: usize) {
    let items = Cell::from_mut(items).as_slice_of_cells();
    let source = items.get(from..).unwrap_or(&[]);
    let target = items.get(to..).unwrap_or(&[]);
    for (target, source) in target.iter().zip(source) {
        target.set(source.get());
    }
}

#[cfg(test)]
mod tests {
    use super::move_down;

    /// Items that overlap their new place must not overwrite one another first.
    #[test]
    fn items_keep_their_order_and_what_stands_before_stays() {
        let mut items = [0, 1, 2, 3, 4, 5, 6];
        move_down(&mut items, 3, 1);
        assert_eq!(items, [0, 3, 4, 5, 6, 5, 6]);
        move_down(&mut items, 8, 1);
        assert_eq!(items, [0, 3, 4, 5, 6, 5, 6]);
    }
}
