//! Taking an end of a queue on a condition. The standard library's own methods are newer than the Rust version that this
//! crate promises to build with.

use alloc::collections::VecDeque;

pub(crate) trait Ends<T> {
    /// Removes and returns the first element if the condition holds for it.
    fn take_front_if(&mut self, condition: impl FnOnce(&T) -> bool) -> Option<T>;

    /// Removes and returns the last element if the condition holds for it.
    fn take_back_if(&mut self, condition: impl FnOnce(&T) -> bool) -> Option<T>;
}

impl<T> Ends<T> for VecDeque<T> {
    fn take_front_if(&mut self, condition: impl FnOnce(&T) -> bool) -> Option<T> {
        if condition(self.front()?) {
            self.pop_front()
        } else {
            None
        }
    }

    fn take_back_if(&mut self, condition: impl FnOnce(&T) -> bool) -> Option<T> {
        if condition(self.back()?) {
            self.pop_back()
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_taken_only_on_its_condition() {
        let mut queue = VecDeque::from([1, 2, 3]);
        assert_eq!(queue.take_front_if(|&first| first > 1), None);
        assert_eq!(queue.take_back_if(|&last| last < 3), None);
        assert_eq!(queue.take_front_if(|&first| first == 1), Some(1));
        assert_eq!(queue.take_back_if(|&last| last == 3), Some(3));
        assert_eq!(queue, [2]);
        queue.clear();
        assert_eq!(queue.take_front_if(|_| true), None);
        assert_eq!(queue.take_back_if(|_| true), None);
    }
}
