//! The events of a history as a list from which operations are taken and put back.

/// The head of the list.
const HEAD: u32 = 0;
/// No node.
pub(super) const NONE: u32 = u32::MAX;

/// Calls and returns in the order of time, as a linked list. Node 0 is its head.
pub(super) struct Events {
    next: Vec<u32>,
    previous: Vec<u32>,
    /// The operation of a node; the top bit marks a return.
    node: Vec<u32>,
    pub(super) time: Vec<u64>,
    pub(super) call: Vec<u32>,
    pub(super) returned: Vec<u32>,
}

const RETURN: u32 = 1 << 31;

impl Events {
    pub(super) fn new(times: &[(u64, u64)]) -> Self {
        let mut events: Vec<(u64, u32)> = Vec::with_capacity(times.len() * 2);
        for (number, &(call, returned)) in times.iter().enumerate() {
            events.push((call, number as u32));
            events.push((returned, number as u32 | RETURN));
        }
        // Calls sort before returns of the same instant, so that equal times are concurrent.
        events.sort_unstable_by_key(|&(time, node)| (time, node));
        let nodes = events.len() as u32 + 1;
        let mut list = Events {
            next: (1..=nodes).map(|node| if node == nodes { NONE } else { node }).collect(),
            previous: (0..nodes).map(|node| node.wrapping_sub(1)).collect(),
            node: std::iter::once(NONE).chain(events.iter().map(|&(_, node)| node)).collect(),
            time: std::iter::once(0).chain(events.iter().map(|&(time, _)| time)).collect(),
            call: vec![NONE; times.len()],
            returned: vec![NONE; times.len()],
        };
        for (index, &(_, node)) in events.iter().enumerate() {
            let number = (node & !RETURN) as usize;
            let place = if node & RETURN == 0 { &mut list.call } else { &mut list.returned };
            place[number] = index as u32 + 1;
        }
        list
    }

    pub(super) fn first(&self) -> u32 {
        self.next[HEAD as usize]
    }

    /// The first return in the list, which no operation called later may pass.
    pub(super) fn first_return(&self) -> u32 {
        let mut node = self.first();
        while !self.is_return(node) {
            node = self.next(node);
        }
        node
    }

    pub(super) fn next(&self, node: u32) -> u32 {
        self.next[node as usize]
    }

    pub(super) fn is_return(&self, node: u32) -> bool {
        self.node[node as usize] & RETURN != 0
    }

    pub(super) fn operation(&self, node: u32) -> u32 {
        self.node[node as usize] & !RETURN
    }

    /// The call goes last, so that its `next` leads to an event still in the list.
    pub(super) fn unlink(&mut self, number: u32) {
        self.unlink_node(self.returned[number as usize]);
        self.unlink_node(self.call[number as usize]);
    }

    pub(super) fn relink(&mut self, number: u32) {
        self.relink_node(self.call[number as usize]);
        self.relink_node(self.returned[number as usize]);
    }

    fn unlink_node(&mut self, node: u32) {
        let (previous, next) = (self.previous[node as usize], self.next[node as usize]);
        self.next[previous as usize] = next;
        if next != NONE {
            self.previous[next as usize] = previous;
        }
    }

    fn relink_node(&mut self, node: u32) {
        let (previous, next) = (self.previous[node as usize], self.next[node as usize]);
        self.next[previous as usize] = node;
        if next != NONE {
            self.previous[next as usize] = node;
        }
    }
}
