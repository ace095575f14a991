// Network namespaces, packets and Felix's life for the tests; the standard library is all it needs.
module lifeline.dev/tests/upstream/rig

go 1.26
