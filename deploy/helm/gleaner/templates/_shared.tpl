{{/* Of the release: what all its names begin with. */}}
{{- define "gleaner.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "gleaner.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* By which pods of a role are found: (list context role). Never changed, as a Deployment could not follow. */}}
{{- define "gleaner.selector" -}}
app.kubernetes.io/name: gleaner
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "gleaner.labels" -}}
{{ include "gleaner.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (index . 0).Chart.Name (index . 0).Chart.Version }}
{{- end }}

{{/* What keeps a pod from doing anything but its work. */}}
{{- define "gleaner.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "gleaner.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
{{- end }}

{{- define "gleaner.databaseEnv" -}}
- name: DATABASE_URL
  valueFrom:
    secretKeyRef: { name: {{ .Values.existingSecret }}, key: {{ .Values.secretKeys.databaseUrl }} }
{{- end }}

{{- define "gleaner.env" -}}
{{ include "gleaner.databaseEnv" . }}
{{- with .Values.secretKeys.redisUrl }}
- name: REDIS_URL
  valueFrom:
    secretKeyRef: { name: {{ $.Values.existingSecret }}, key: {{ . }} }
{{- end }}
{{- with .Values.secretKeys.natsToken }}
- name: GLEANER__EVENTS__NATS_TOKEN
  valueFrom:
    secretKeyRef: { name: {{ $.Values.existingSecret }}, key: {{ . }} }
{{- end }}
{{- with .Values.secretKeys.awsAccessKeyId }}
- name: AWS_ACCESS_KEY_ID
  valueFrom:
    secretKeyRef: { name: {{ $.Values.existingSecret }}, key: {{ . }} }
{{- end }}
{{- with .Values.secretKeys.awsSecretAccessKey }}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom:
    secretKeyRef: { name: {{ $.Values.existingSecret }}, key: {{ . }} }
{{- end }}
{{- with .Values.secretKeys.opensearchUrl }}
- name: OPENSEARCH_URL
  valueFrom:
    secretKeyRef: { name: {{ $.Values.existingSecret }}, key: {{ . }} }
{{- end }}
{{- with .Values.secretKeys.openaiApiKey }}
- name: OPENAI_API_KEY
  valueFrom:
    secretKeyRef: { name: {{ $.Values.existingSecret }}, key: {{ . }} }
{{- end }}
{{- with .Values.secretKeys.geminiApiKey }}
- name: GEMINI_API_KEY
  valueFrom:
    secretKeyRef: { name: {{ $.Values.existingSecret }}, key: {{ . }} }
{{- end }}
{{- end }}

{{/* A change of the configuration starts pods anew. */}}
{{- define "gleaner.annotations" -}}
checksum/config: {{ .Values.config | sha256sum }}
{{- end }}

{{- define "gleaner.mounts" -}}
- { name: config, mountPath: /etc/gleaner, readOnly: true }
- { name: data, mountPath: /var/lib/gleaner }
- { name: tmp, mountPath: /tmp }
{{- end }}

{{/* (list context size) */}}
{{- define "gleaner.volumes" -}}
- name: config
  configMap: { name: {{ include "gleaner.name" (index . 0) }} }
- name: data
  emptyDir: { sizeLimit: {{ index . 1 }} }
- name: tmp
  emptyDir: { sizeLimit: 1Gi }
{{- end }}

{{/* Over machines and zones, as far as there are several: (list context role) */}}
{{- define "gleaner.spread" -}}
topologySpreadConstraints:
{{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "gleaner.selector" $ | nindent 8 }}
{{- end }}
{{- end }}

{{/* Until the store is open; the answer of a process that hangs; whether it can do its work. */}}
{{- define "gleaner.probes" -}}
startupProbe:
  httpGet: { path: /health, port: metrics }
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 60
livenessProbe:
  httpGet: { path: /health, port: metrics }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: { path: /ready, port: metrics }
  periodSeconds: 3
  timeoutSeconds: 12
  failureThreshold: 1
{{- end }}
