{{- /* Values that do not go together. */}}
{{- define "lifeline.checks" }}
{{- if eq .Values.placement "control-plane" }}
{{- if eq .Values.certificates "cert-manager" }}
{{- fail "placement: control-plane goes with certificates: self only: the API server asks over loopback, where no name of cert-manager's certificate holds" }}
{{- end }}
{{- if .Values.highAvailability }}
{{- fail "highAvailability goes with placement: service only: on control-plane nodes there is one replica on each" }}
{{- end }}
{{- if .Values.replicas }}
{{- fail "replicas goes with placement: service only: on control-plane nodes there is one replica on each" }}
{{- end }}
{{- end }}
{{- end }}
