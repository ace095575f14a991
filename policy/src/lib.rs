//! What a CNI does with a host's packets.
