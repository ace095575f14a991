package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	clustermesh "github.com/cilium/cilium/pkg/clustermesh/types"
	"github.com/cilium/cilium/pkg/defaults"
	"github.com/cilium/cilium/pkg/labelsfilter"
	"github.com/cilium/cilium/pkg/option"
	"github.com/cilium/cilium/pkg/policy"
	"github.com/cilium/cilium/pkg/policy/api"
)

var logger = slog.New(slog.DiscardHandler)

// configure sets the agent's options, which are global to it, and returns the cluster name that selectors are bound to.
// What a case does not say has the agent's default, except that the host firewall is on.
func configure(written map[string]json.RawMessage) (string, error) {
	values := make(map[string]string, len(written))
	for key, raw := range written {
		var text string
		if json.Unmarshal(raw, &text) != nil {
			text = string(raw)
		}
		values[key] = text
	}
	text := func(key, fallback string) string {
		value, ok := values[key]
		delete(values, key)
		if !ok {
			return fallback
		}
		return value
	}
	var wrong error
	flag := func(key string, fallback bool) bool {
		value, err := strconv.ParseBool(text(key, strconv.FormatBool(fallback)))
		if err != nil {
			wrong = fmt.Errorf("%s: %w", key, err)
		}
		return value
	}

	c := option.Config
	c.EnableHostFirewall = flag("enable-host-firewall", true)
	c.EnableIPv4 = flag(option.EnableIPv4Name, defaults.EnableIPv4)
	c.EnableIPv6 = flag(option.EnableIPv6Name, defaults.EnableIPv6)
	c.EnableICMPRules = flag(option.EnableICMPRules, defaults.EnableICMPRules)
	c.EnableL7Proxy = flag(option.EnableL7Proxy, defaults.EnableL7Proxy)
	c.EnableNonDefaultDenyPolicies = flag(option.EnableNonDefaultDenyPolicies, defaults.EnableNonDefaultDenyPolicies)
	c.EnableNodeSelectorLabels = flag(option.EnableNodeSelectorLabels, false)
	c.EnableExtendedIPProtocols = flag(option.EnableExtendedIPProtocols, false)
	c.PolicyCIDRMatchMode = split(text(option.PolicyCIDRMatchMode, ""), ",")
	c.ClusterName = text("cluster-name", defaults.ClusterName)
	id, err := strconv.ParseUint(text("cluster-id", "0"), 10, 8)
	if err != nil {
		return "", fmt.Errorf("cluster-id: %w", err)
	}
	c.ClusterID = uint32(id)
	policy.SetPolicyEnabled(text(option.EnablePolicy, option.DefaultEnforcement))

	c.ExcludeNodeLabelPatterns = nil
	for _, pattern := range strings.Fields(text(option.ExcludeNodeLabelPatterns, "")) {
		expression, err := regexp.Compile(pattern)
		if err != nil {
			return "", fmt.Errorf("%s: %w", option.ExcludeNodeLabelPatterns, err)
		}
		c.ExcludeNodeLabelPatterns = append(c.ExcludeNodeLabelPatterns, expression)
	}
	pods, nodes := strings.Fields(text(option.Labels, "")), strings.Fields(text(option.NodeLabels, ""))
	if err := labelsfilter.ParseLabelPrefixCfg(logger, pods, nodes, ""); err != nil {
		return "", err
	}
	api.InitEntities(c.ClusterName)
	bound := clustermesh.LocalClusterNameForPolicies(
		clustermesh.PolicyConfig{PolicyDefaultLocalCluster: flag("policy-default-local-cluster", true)}, c.ClusterName)
	if wrong != nil {
		return "", wrong
	}
	if len(values) > 0 {
		return "", fmt.Errorf("unknown settings: %v", slices.Sorted(maps.Keys(values)))
	}
	return bound, nil
}

func split(text, separator string) []string {
	return slices.DeleteFunc(strings.Split(text, separator), func(part string) bool { return part == "" })
}
