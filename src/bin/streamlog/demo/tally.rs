//! The count of what happened to each order, kept apart from the engine.

use comfy_table::Table;

use crate::show;

pub(super) struct Tally {
    orders: Vec<Order>,
    /// How many orders the workers said they had acknowledged.
    acked: u64,
    /// How many times a worker did its work.
    worked: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Order {
    /// How often a worker did its work for it.
    processed: u32,
    /// A worker that was killed later said that its acknowledgement had returned.
    acked_by_worker: bool,
    /// It came once more after that.
    came_after_ack: bool,
    /// The engine's count of deliveries, when it came last.
    deliveries: u32,
}

impl Tally {
    pub(super) fn new(orders: u64) -> Tally {
        Tally { orders: vec![Order::default(); orders as usize], acked: 0, worked: 0 }
    }

    /// Takes a line that a worker wrote. A line torn by its death says nothing.
    pub(super) fn told(&mut self, line: &[u8]) {
        let parsed = std::str::from_utf8(line).ok().and_then(|line| line.split_once(' '));
        let Some((what, order)) = parsed else { return };
        let Some(order) = order.parse::<usize>().ok().and_then(|order| self.orders.get_mut(order)) else { return };
        match what {
            "processed" => {
                self.worked += 1;
                order.processed += 1;
            }
            "acked" => {
                self.acked += u64::from(!order.acked_by_worker);
                order.acked_by_worker = true;
            }
            _ => {}
        }
    }

    /// Takes an order that was processed here.
    pub(super) fn processed(&mut self, order: u64, deliveries: u32) {
        if let Some(order) = self.orders.get_mut(order as usize) {
            order.processed += 1;
            order.deliveries = deliveries;
            order.came_after_ack |= order.acked_by_worker;
        }
    }

    fn count(&self, which: impl Fn(&Order) -> bool) -> u64 {
        self.orders.iter().filter(|order| which(order)).count() as u64
    }

    /// How many orders the workers said they had acknowledged.
    pub(super) fn acked(&self) -> u64 {
        self.acked
    }

    /// How many orders the workers have worked on and not acknowledged yet, by what they said.
    pub(super) fn half_done(&self) -> u64 {
        self.worked.saturating_sub(self.acked)
    }

    fn lost(&self) -> u64 {
        self.count(|order| order.processed == 0)
    }

    fn came_after_ack(&self) -> u64 {
        self.count(|order| order.came_after_ack)
    }

    pub(super) fn table(&self, rescued: u64, rest: u64) -> Table {
        let mut table = show::table(&["orders", "how many"]);
        // Killed after the acknowledgement returned, and before the worker could say so.
        let unsaid = (self.orders.len() as u64).saturating_sub(self.acked() + rescued + rest);
        let mut rows = vec![
            ("added", self.orders.len() as u64),
            ("acknowledged by the workers before the kill", self.acked()),
            ("acknowledged too, but killed before they could say so", unsaid),
            ("in the dead workers' hands, rescued", rescued),
            ("not delivered before the kill, done afterwards", rest),
            ("LOST", self.lost()),
            ("delivered again though acknowledged", self.came_after_ack()),
            ("delivered twice", self.count(|order| order.deliveries > 1)),
            ("  of these, worked on twice", self.count(|order| order.processed > 1)),
        ];
        rows.retain(|&(what, count)| count > 0 || !what.contains("could say so"));
        for (what, count) in rows {
            table.add_row([what.into(), show::number(show::count(count))]);
        }
        table
    }

    /// What should not be, if anything: of the stream's length and of what the group still has to do, too.
    pub(super) fn wrong(&self, in_stream: u64, left: u64) -> Vec<String> {
        let orders = self.orders.len() as u64;
        let mut wrong = Vec::new();
        let mut check = |right: bool, text: String| {
            if !right {
                wrong.push(text);
            }
        };
        check(self.lost() == 0, format!("{} lost", show::entries(self.lost())));
        check(self.came_after_ack() == 0, format!("{} came back after the ack", show::entries(self.came_after_ack())));
        check(in_stream == orders, format!("{} in the stream, {orders} added", show::entries(in_stream)));
        check(left == 0, format!("{left} left to do"));
        let thrice = self.count(|order| order.deliveries > 2 || order.processed > 2);
        check(thrice == 0, format!("{} came more than twice", show::entries(thrice)));
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tally_sees_what_is_lost_and_what_comes_back() {
        let mut tally = Tally::new(3);
        for line in ["processed 0", "acked 0", "processed 1", "acked", "proc", "processed 9"] {
            tally.told(line.as_bytes());
        }
        assert_eq!(tally.acked(), 1);
        assert_eq!(tally.lost(), 1, "nobody had the third");
        tally.processed(1, 2);
        tally.processed(2, 1);
        assert!(tally.wrong(3, 0).is_empty());
        assert_eq!(tally.count(|order| order.processed > 1), 1);
        tally.processed(0, 2);
        assert_eq!(tally.wrong(3, 0).len(), 1, "it was acknowledged");
        assert_eq!(tally.wrong(2, 1).len(), 3);
    }
}
