use super::*;

const ALL: [NodeIndex; 4] = [0, 1, 2, 3];

fn link(from: &[NodeIndex], to: &[NodeIndex]) -> Link {
    Link { from: from.to_vec(), to: to.to_vec() }
}

fn cut(both_ways: bool, how: Cut) -> Effect {
    Effect::Cut { both_ways, how }
}

#[test]
fn a_one_way_partition_cuts_one_way() {
    let mut network = Network::new(1, 4);
    network.begin(0, 0, link(&[1], &ALL), cut(false, Cut::BlackHole));
    assert_eq!(network.cut(1, 2), Some(Cut::BlackHole));
    assert_eq!(network.cut(1, 0), Some(Cut::BlackHole));
    assert_eq!(network.cut(2, 1), None);
    assert_eq!(network.cut(2, 3), None);
    assert_eq!(network.cut(1, 1), None, "a node always reaches itself");
}

#[test]
fn a_symmetric_partition_cuts_both_ways_until_its_own_end() {
    let mut network = Network::new(1, 4);
    network.begin(0, 0, link(&[1], &[2]), cut(true, Cut::BlackHole));
    network.begin(1, 0, link(&[2], &[1]), cut(false, Cut::Refuse));
    assert_eq!(network.cut(1, 2), Some(Cut::BlackHole));
    assert_eq!(network.cut(2, 1), Some(Cut::Refuse), "a refusal is seen through a black hole");
    network.end(1);
    assert_eq!(network.cut(2, 1), Some(Cut::BlackHole));
    network.end(0);
    assert_eq!(network.cut(1, 2), None);
    assert!(!network.is_active(0));
}

#[test]
fn slowness_strikes_both_directions_and_lets_messages_overtake() {
    let mut network = Network::new(7, 4);
    let (latency, jitter) = (Duration::from_millis(40), Duration::from_millis(100));
    network.begin(3, 9, link(&[1], &[2]), Effect::Slow { both_ways: true, latency, jitter });
    let delays: Vec<_> = (0..20).map(|_| network.message(1, 2).delay).collect();
    assert!(delays.iter().all(|delay| (latency..latency + jitter).contains(delay)), "{delays:?}");
    assert!(delays.windows(2).any(|pair| pair[0] > pair[1]), "{delays:?}");
    assert!(network.reply(2, 1).delay >= latency);
    assert_eq!(network.message(1, 3).delay, Duration::ZERO);
}

#[test]
fn through_a_closed_door_everybody_gets_out() {
    let mut network = Network::new(1, 4);
    network.begin(0, 0, link(&[0, 2], &[1]), Effect::Closed { how: Cut::BlackHole });
    assert_eq!(network.blocked(Way::to(2, 1)), Some(Cut::BlackHole));
    assert_eq!(network.blocked(Way::back(2, 1)), Some(Cut::BlackHole));
    assert_eq!(network.blocked(Way::to(1, 2)), None);
    assert_eq!(network.blocked(Way::back(1, 2)), None, "what it asks for it gets");
    assert_eq!(network.blocked(Way::to(3, 1)), None, "closed to others");
    assert!(network.apart(1, 2) && network.apart(2, 1) && !network.apart(1, 3));
    assert!(!network.parted(1, 2) && !network.disturbs(0..4));
    network.begin(1, 0, link(&[2], &[1]), cut(false, Cut::Refuse));
    assert_eq!(network.blocked(Way::to(2, 1)), Some(Cut::Refuse), "a refusal is seen through a black hole");
}

fn mistreat(how: Mistreatment, percent: u32) -> Effect {
    Effect::Mistreat { how, percent }
}

#[test]
fn mistreatment_strikes_about_the_share_it_should() {
    let mut network = Network::new(11, 4);
    network.begin(0, 5, link(&[3], &ALL), mistreat(Mistreatment::DropReply, 30));
    let struck = (0..1000).filter(|_| network.message(3, 1).treatment.is_some()).count();
    assert!((250..350).contains(&struck), "{struck} of 1000");
    assert_eq!(network.struck()[&Mistreatment::DropReply], struck as u64);
    assert!((0..1000).all(|_| network.message(1, 3).treatment.is_none()), "only in its direction");
    network.heal(&[]);
    assert_eq!(network.message(3, 1).treatment, None);
}

#[test]
fn a_fault_decides_alike_whatever_else_is_going_on() {
    let strikes = |with_another: bool| {
        let mut network = Network::new(5, 4);
        if with_another {
            network.begin(0, 1, link(&[2], &ALL), mistreat(Mistreatment::Hang, 50));
        }
        network.begin(1, 2, link(&[1], &ALL), mistreat(Mistreatment::Delay, 20));
        (0..100)
            .map(|_| {
                network.message(2, 1);
                network.message(1, 2).treatment.map(|treatment| treatment.after)
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(strikes(false), strikes(true));
    assert!(strikes(true).iter().any(Option::is_some));
}

#[test]
fn most_messages_are_held_back_shortly_and_some_for_long() {
    let mut network = Network::new(17, 2);
    network.begin(0, 0, link(&[0], &[1]), mistreat(Mistreatment::Delay, 100));
    let held: Vec<_> =
        (0..1000).filter_map(|_| network.message(0, 1).treatment).map(|treatment| treatment.after).collect();
    let short = held.iter().filter(|after| **after <= DELAY_USUAL).count();
    assert!((600..900).contains(&short), "{short} of 1000");
    assert!(held.iter().any(|after| *after > DELAY_MAX / 2));
    assert!(held.iter().all(|after| *after <= DELAY_MAX));
}

#[test]
fn about_half_of_what_a_black_hole_swallowed_comes_out_again() {
    let mut network = Network::new(13, 2);
    network.begin(0, 0, link(&[0], &[1]), cut(true, Cut::BlackHole));
    let out = (0..1000).filter(|_| network.message(0, 1).survives_the_hole()).count();
    assert!((400..600).contains(&out), "{out} of 1000");
}

/// Which messages are struck, and how, is a matter of the seed, the fault's salt, both nodes' numbers and how
/// many messages there were: who numbers nodes in another order changes what every saved plan does.
#[test]
fn what_is_done_to_the_nth_message_of_a_link_is_fixed() {
    let mut network = Network::new(7, 4);
    network.begin(0, 11, link(&ALL, &ALL), Effect::Mistreat { how: Mistreatment::Delay, percent: 30 });
    network.begin(
        1,
        13,
        link(&ALL, &ALL),
        Effect::Slow { both_ways: false, latency: Duration::ZERO, jitter: Duration::from_secs(1) },
    );
    let mut verdicts = Vec::new();
    for _ in 0..20 {
        for (from, to) in ALL.into_iter().flat_map(|from| ALL.map(|to| (from, to))) {
            let Verdict { delay, treatment, hash } = network.message(from, to);
            let treated = treatment.map(|treatment| (treatment.fault, treatment.after, treatment.variant));
            verdicts.push((from, to, delay, treated, hash));
        }
    }
    assert_eq!(stable_hash(&verdicts), 14_951_772_237_761_311_716, "saved plans mean something else now");
}
