//! The laboratory's own tests: its guard, its end, its services, and that it sees what leaves.

mod bus;
mod end;
mod guard;
mod network_manager;
mod openvpn;
mod positive_control;
mod summary;
