use std::collections::BTreeSet;

use proptest::prelude::*;
use testbed::data::{fault::Memory, plan::Network};

use super::{DRIFT_PPM_MAX, FAULTS_MAX, FAULTS_MS, STORIES, faults, generate, length, story_of};
use crate::{
    bound::{FaultKind, Plan},
    store::{
        fault::Mishap,
        script::{Action, Step},
        settings::Settings,
    },
};

fn text(plan: &Plan) -> String {
    toml::to_string(plan).expect("a plan is made of what TOML can say")
}

fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// When each is, whether that is triggered, how long the server is down, and its name. A twin begins with
/// nothing, and the last copy is spared.
fn memory_losses(plan: &Plan) -> Vec<(u64, bool, u64, String)> {
    let faults = plan.faults.iter();
    faults
        .filter_map(|fault| match &fault.kind {
            FaultKind::Crash { node, .. } if node == "twin" => None,
            FaultKind::Crash { memory: Memory::Lost, down_ms, node }
            | FaultKind::PowerLoss { memory: Memory::Lost, down_ms, node } => {
                let down_ms = down_ms.expect("who forgets comes back");
                Some((fault.at_ms, fault.on.is_some(), down_ms, node.clone()))
            }
            _ => None,
        })
        .collect()
}

/// Stands for the plans of the first 400 seeds.
const SEEDS: u64 = 10_117_110_265_962_797_454;

#[test]
fn seeds_mean_what_they_meant() {
    let all: String = (0..400).map(|seed| text(&generate(seed))).collect();
    assert_eq!(
        hash(&all),
        SEEDS,
        "generation changed: some seeds mean something else now. If that is intended, put the new value here"
    );
}

#[test]
fn seeds_differ_in_shape_faults_and_load() {
    let plans: Vec<Plan> = (0..400).map(generate).collect();
    let quiet = plans.iter().filter(|s| s.faults.is_empty()).count();
    assert!((10..80).contains(&quiet), "{quiet} of 400 seeds without any fault");
    let shapes: BTreeSet<_> = plans.iter().map(|s| (s.cluster.servers, s.cluster.replicas)).collect();
    assert!(shapes.len() >= 8, "{shapes:?}");
    let longer = |than: u64| plans.iter().filter(|s| s.faults_ms > than).count();
    let (long, longer) = (longer(FAULTS_MS.1 + length::REST_MS), longer(FAULTS_MS.1));
    assert!((3..30).contains(&long), "{long} of 400 seeds live long");
    assert!((5..40).contains(&(longer - long)), "{} of 400 seeds rest", longer - long);
    let volatile = plans.iter().filter(|s| s.cluster.volatile).count();
    assert!((100..220).contains(&volatile), "{volatile} of 400 seeds without disks");
    let has = |is: fn(&Settings) -> bool| plans.iter().any(|s| s.cluster.settings.iter().any(is));
    assert!(has(|own| own.waiting_max.is_some()) && has(|own| own.sessions_max.is_some()));
    assert!(has(|own| own.copies_min.is_some()));
    assert!(has(|own| own.scans_max.is_some()) && has(|own| own.scan_bytes_max.is_some()));
    assert!(
        has(|own| own.node.is_some() && own.from_life == 2),
        "options change when a process is restarted"
    );
    let kinds: BTreeSet<String> = plans
        .iter()
        .flat_map(|s| &s.faults)
        .map(|fault| match &fault.kind {
            FaultKind::Rpc { how, .. } => format!("{how:?}"),
            FaultKind::Crash { memory, .. } => format!("crash {memory:?}"),
            FaultKind::PowerLoss { memory, .. } => format!("power loss {memory:?}"),
            FaultKind::Partition { both_ways, how, .. } => format!("partition {both_ways} {how:?}"),
            FaultKind::Closed { .. } => "closed".into(),
            FaultKind::Own(Mishap::Record { adopt, .. }) => format!("record {}", adopt.is_some()),
            FaultKind::Own(Mishap::AcceptLoss { .. }) => "accepted loss".into(),
            FaultKind::Own(Mishap::Twin { moves, .. }) => format!("twin {moves}"),
            FaultKind::Pause { .. } => "pause".into(),
            FaultKind::Freeze { .. } => "freeze".into(),
            FaultKind::Stutter { .. } => "stutter".into(),
            FaultKind::DiskStall { .. } => "stalled disk".into(),
            FaultKind::DiskFailure { .. } => "failed disk".into(),
            FaultKind::Slow { one_way, .. } => format!("slow {one_way}"),
        })
        .collect();
    assert_eq!(kinds.len(), 32, "every kind of fault occurs: {kinds:?}");
    assert!(plans.iter().any(|s| s.faults.len() > 100) && plans.iter().any(|s| s.faults.len() == 1));
}

#[test]
fn one_seed_of_six_tells_a_story_and_every_story_is_told() {
    let plans: Vec<Plan> = (0..1000).map(generate).filter(|s| !s.about.is_empty()).collect();
    assert!((120..200).contains(&plans.len()), "{} of 1000", plans.len());
    for story in STORIES {
        let told = plans.iter().filter(|s| story_of(s) == Some(story)).count();
        assert!((3..60).contains(&told), "{story} is told by {told} of 1000 seeds");
    }
    assert!(plans.iter().all(|s| !s.faults.is_empty() && s.cluster.starts_ms.is_empty()));
}

#[test]
fn a_draw_of_one_fault_kind_moves_no_other_part() {
    // Two clusters of different size: the workload and the network are drawn from streams of their own.
    let network = Network { latency_us_min: 500, latency_us_max: 1_000, bytes_per_ms: None };
    let clients = |faults_ms| super::workload::clients(3, faults_ms, &network);
    let (a, b) = (clients(10_000), clients(20_000));
    for (shorter, longer) in a.iter().zip(&b) {
        assert!(longer.script.starts_with(&shorter.script));
    }
}

#[test]
fn swaps_by_revision_take_the_place_of_other_updates_in_some_seeds() {
    let network = Network { latency_us_min: 500, latency_us_max: 1_000, bytes_per_ms: None };
    let mut swapping = 0;
    for seed in 0..200 {
        let before = super::workload::clients(seed, 10_000, &network);
        let mut after = before.clone();
        super::workload::swap_by_revision(seed, &mut after);
        let lines =
            before.iter().zip(&after).flat_map(|(before, after)| before.script.iter().zip(&after.script));
        let changed: Vec<_> = lines.filter(|(before, after)| before != after).collect();
        swapping += usize::from(!changed.is_empty());
        for (before, after) in changed {
            let (before, after) = (Step::parse(before).expect("good"), Step::parse(after).expect("good"));
            assert_eq!((before.at, &before.key), (after.at, &after.key));
            assert!(before.action != Action::Get && after.action == Action::CompareAndSwapRevision);
        }
    }
    assert!((50..110).contains(&swapping), "{swapping} of 200 seeds");
}

#[test]
fn scans_take_the_place_of_reads_in_some_seeds() {
    let network = Network { latency_us_min: 500, latency_us_max: 1_000, bytes_per_ms: None };
    let (mut scanning, mut sorts) = (0, BTreeSet::new());
    for seed in 0..200 {
        let before = super::workload::clients(seed, 10_000, &network);
        let mut after = before.clone();
        super::workload::scan(seed, &mut after);
        let lines =
            before.iter().zip(&after).flat_map(|(before, after)| before.script.iter().zip(&after.script));
        let changed: Vec<_> = lines.filter(|(before, after)| before != after).collect();
        scanning += usize::from(!changed.is_empty());
        for (before, after) in changed {
            let (before, after) = (Step::parse(before).expect("good"), Step::parse(after).expect("good"));
            assert_eq!((before.at, before.action, after.action), (after.at, Action::Get, Action::Scan));
            let is_some_key = after.key == before.key;
            sorts.insert(
                if is_some_key { "some key" } else { str::from_utf8(&after.key).expect("text") }.to_owned(),
            );
        }
    }
    assert!((25..80).contains(&scanning), "{scanning} of 200 seeds");
    assert!(["-", "cold", "hot", "some key"].iter().all(|sort| sorts.contains(*sort)), "{sorts:?}");
}

#[test]
fn a_misspelt_field_is_refused() {
    for (right, wrong) in
        [("seed =", "sed ="), ("servers =", "server ="), ("down_ms =", "down ="), ("at_ms =", "at =")]
    {
        let plan = (0..).map(generate).map(|s| text(&s)).find(|text| text.contains(right));
        let wrong = plan.expect("some seed uses it").replacen(right, wrong, 1);
        assert!(toml::from_str::<Plan>(&wrong).is_err(), "accepted without {right}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_survives_its_own_text(seed in any::<u64>()) {
        let plan = generate(seed);
        let parsed: Plan = toml::from_str(&text(&plan)).expect("what was printed can be read");
        prop_assert_eq!(plan, parsed);
    }

    #[test]
    fn no_plan_takes_the_memory_of_all_copies_at_once_unless_it_says_so(seed in any::<u64>()) {
        let plan = generate(seed);
        prop_assume!(!plan.data_loss);
        let losses = memory_losses(&plan);
        prop_assert!(losses.is_empty() || plan.cluster.replicas >= 2, "the only copy is lost");
        if losses.iter().any(|(_, triggered, ..)| *triggered) {
            prop_assert_eq!(losses.len(), 1, "the time of a triggered loss is unknown: there may be no other");
        }
        for pair in losses.windows(2) {
            let ((first_ms, _, down_ms, first), (second_ms, _, _, second)) = (&pair[0], &pair[1]);
            if first == second && first.starts_with('s') {
                continue; // what has forgotten everything cannot forget more
            }
            prop_assert!(*second_ms >= first_ms + down_ms + faults::REJOIN_MS, "{:?}", losses);
        }
    }

    #[test]
    fn a_plan_can_be_carried_out(seed in any::<u64>()) {
        let s = generate(seed);
        prop_assert!((FAULTS_MS.0..=length::TIMES * FAULTS_MS.1).contains(&s.faults_ms));
        prop_assert_eq!(testbed::data::validate::validate(&s), Ok(()));
        prop_assert!(s.cluster.replicas >= 1 && s.cluster.replicas <= s.cluster.servers);
        prop_assert!(s.cluster.starts_ms.is_empty() || s.cluster.starts_ms.len() == s.cluster.servers as usize);
        prop_assert!(s.cluster.clocks.iter().all(|c| c.drift_ppm.unsigned_abs() <= DRIFT_PPM_MAX));
        prop_assert!(s.faults.len() <= FAULTS_MAX);
        prop_assert!(s.faults.iter().all(|fault| fault.begins_ms() < s.faults_ms));
        for client in &s.clients {
            prop_assert!(!client.script.is_empty());
        }
    }
}
