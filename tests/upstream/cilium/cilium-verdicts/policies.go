package main

import (
	"encoding/json"
	"errors"
	"fmt"

	cilium "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	"github.com/cilium/cilium/pkg/policy/types"
	"github.com/cilium/cilium/pkg/policy/utils"
)

// stageError is a refusal: by the API server's schema, or by the agent when it decodes or checks an object.
type stageError struct {
	stage string
	error
}

type applied struct {
	name    string
	entries types.PolicyEntries
}

// apply takes the policies as an agent does that knew their previous versions: of what is refused the version before
// goes on, and what was not there before contributes nothing (cilium/cilium:pkg/policy/k8s/cilium_network_policy.go).
func apply(one *testCase, admission *schema, cluster string) (all []applied, invalid []refused, err error) {
	if one.Says != "" {
		admission = nil
	}
	previous := make(map[string]types.PolicyEntries)
	for _, raw := range one.Previous {
		name, entries, err := parse(raw, admission, cluster)
		var refusal stageError
		if err == nil {
			previous[name] = entries
		} else if !errors.As(err, &refusal) {
			return nil, nil, err
		}
	}
	invalid = []refused{}
	for _, raw := range one.Policies {
		name, entries, err := parse(raw, admission, cluster)
		var refusal stageError
		if errors.As(err, &refusal) {
			invalid = append(invalid, refused{Name: name, Stage: refusal.stage, Error: refusal.Error()})
			entries = previous[name]
		} else if err != nil {
			return nil, nil, err
		}
		if entries != nil {
			all = append(all, applied{name, entries})
		}
	}
	return all, invalid, nil
}

func parse(raw json.RawMessage, schema *schema, cluster string) (name string, entries types.PolicyEntries, err error) {
	var object map[string]any
	if err := json.Unmarshal(raw, &object); err != nil {
		return "", nil, fmt.Errorf("a policy is not an object: %w", err)
	}
	if metadata, ok := object["metadata"].(map[string]any); ok {
		name, _ = metadata["name"].(string)
	}
	if schema != nil {
		object = integers(object).(map[string]any)
		if err := schema.admit(object); err != nil {
			return name, nil, stageError{"schema", err}
		}
		if raw, err = json.Marshal(object); err != nil {
			return name, nil, err
		}
	}
	// An object on which the agent panics is refused here, and so shows. One with an ICMP field without a type is such,
	// already when it is decoded; only the schema keeps it away.
	stage := "decode"
	defer func() {
		if cause := recover(); cause != nil {
			entries, err = nil, stageError{stage, fmt.Errorf("panic: %v", cause)}
		}
	}()
	// The agent holds both kinds of policies in this type and tells them apart by their namespace.
	policy := &cilium.CiliumNetworkPolicy{}
	if err := json.Unmarshal(raw, policy); err != nil {
		return name, nil, stageError{stage, err}
	}
	stage = "sanitize"
	rules, err := policy.Parse(logger, cluster)
	if err != nil {
		return name, nil, stageError{stage, err}
	}
	return name, utils.RulesToPolicyEntries(rules), nil
}

// integers makes whole numbers integers, as the API server's decoder does.
func integers(value any) any {
	switch value := value.(type) {
	case float64:
		if whole := int64(value); float64(whole) == value {
			return whole
		}
	case map[string]any:
		for key, member := range value {
			value[key] = integers(member)
		}
	case []any:
		for i, item := range value {
			value[i] = integers(item)
		}
	}
	return value
}
