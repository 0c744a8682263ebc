//! News until it is known to have come.
//!
//! What was written into a connection that broke may or may not have arrived. The controller takes frames
//! in their order, so its answer to a question for its clock says that everything before that question has;
//! the rest is told again on the next connection, with the same numbers.

use model::news::{News, Up};
use std::collections::VecDeque;

/// What was told, and may not have come.
#[derive(Debug)]
pub(crate) struct Telling {
    life: u64,
    number: u64,
    told: VecDeque<(u64, News)>,
    /// Questions for the clock that are under way, and the last number before each.
    asked: VecDeque<(i64, u64)>,
}

impl Telling {
    /// `life` differs from that of every earlier run of this agent.
    pub(crate) fn new(life: u64) -> Self {
        Self {
            life,
            number: 0,
            told: VecDeque::new(),
            asked: VecDeque::new(),
        }
    }

    /// A frame for the news, which is kept.
    pub(crate) fn tell(&mut self, news: News) -> Up {
        self.number += 1;
        let frame = self.frame(self.number, news.clone());
        // The next progress says more than one that was lost.
        if !matches!(news, News::Progress { .. }) {
            self.told.push_back((self.number, news));
        }
        frame
    }

    /// The clock is asked for now.
    pub(crate) fn asks(&mut self, asked: i64) {
        self.asked.push_back((asked, self.number));
    }

    /// The answer to the question of that moment.
    pub(crate) fn answered(&mut self, asked: i64) {
        let Some(at) = self.asked.iter().position(|it| it.0 == asked) else {
            return;
        };
        let (_, number) = self.asked[at];
        self.asked.drain(..=at);
        while self.told.front().is_some_and(|it| it.0 <= number) {
            self.told.pop_front();
        }
    }

    /// There is a new connection: what may not have come.
    pub(crate) fn again(&mut self) -> Vec<Up> {
        self.asked.clear();
        let told = self.told.iter();
        told.map(|(number, news)| self.frame(*number, news.clone()))
            .collect()
    }

    fn frame(&self, number: u64, news: News) -> Up {
        Up::News {
            life: self.life,
            number,
            news: Box::new(news),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ClusterName, VmName};

    fn news(vm: &str) -> News {
        News::VmGone {
            cluster: ClusterName::new("shop").unwrap(),
            vm: VmName::new(vm).unwrap(),
        }
    }

    fn numbers(frames: &[Up]) -> Vec<u64> {
        let number = |up: &Up| match up {
            Up::News { number, .. } => Some(*number),
            _ => None,
        };
        frames.iter().filter_map(number).collect()
    }

    #[test]
    fn what_was_told_after_the_last_answered_question_is_told_again() {
        let mut telling = Telling::new(7);
        telling.tell(news("a"));
        telling.asks(100);
        telling.tell(news("b"));
        telling.asks(200);
        telling.answered(100);
        assert_eq!(numbers(&telling.again()), [2]);
        // That question went with its connection.
        telling.answered(200);
        assert_eq!(numbers(&telling.again()), [2]);
        telling.tell(news("c"));
        telling.asks(300);
        telling.answered(300);
        assert!(telling.again().is_empty());
    }

    #[test]
    fn an_answer_to_nothing_confirms_nothing() {
        let mut telling = Telling::new(7);
        telling.tell(news("a"));
        telling.answered(5);
        assert_eq!(numbers(&telling.again()), [1]);
    }
}
