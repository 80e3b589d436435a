{{- define "tie.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "tie.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tie.labels" -}}
{{ include "tie.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* What requests may call the server by where there are no keys: JSON, as the variable wants it. */}}
{{- define "tie.hosts" -}}
{{- $name := include "tie.name" . -}}
{{- $inside := printf "%s.%s" $name .Release.Namespace -}}
{{- concat (list "localhost" "127.0.0.1" "$(POD_IP)" $name $inside (printf "%s.svc" $inside) (printf "%s.svc.cluster.local" $inside)) .Values.auth.allowedHosts | toJson -}}
{{- end }}

{{/* What cannot work together, and what to do. */}}
{{- define "tie.check" -}}
{{- if eq (empty .Values.auth.keysSecret) (not .Values.auth.anybody) }}
{{- fail "say who may ask: auth.keysSecret names a Secret with API keys, auth.anybody=true lets in whoever reaches the Service; one of the two" }}
{{- end }}
{{- $metricsKey := or .Values.auth.openMetrics .Values.serviceMonitor.authorization.secret }}
{{- if and .Values.serviceMonitor.enabled .Values.auth.keysSecret (not $metricsKey) }}
{{- fail "with API keys Prometheus needs one: set serviceMonitor.authorization.secret, or auth.openMetrics=true" }}
{{- end }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
{{- fail "autoscaling.minReplicas exceeds autoscaling.maxReplicas" }}
{{- end }}
{{- end }}
