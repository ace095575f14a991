module lifeline.dev/tests/upstream/stdin

go 1.26
