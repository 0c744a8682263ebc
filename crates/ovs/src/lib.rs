//! One host's Open vSwitch: bridges, bond, ports, tunnels, and flows converged with the directory
