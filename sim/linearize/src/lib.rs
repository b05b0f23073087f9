//! A linearizability checker that is nearly linear in the length of the history.
