"""Seeded bugs of replicas: sessions, Ray Serve, and the Helm chart."""

from tests.reliability.mutant import Mutant

DEPLOYMENT = "tests/service/test_ray_deployment.py::"
HELM = "tests/docker/test_helm.py::"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "a request by its id is looked for wherever the balancer leads",
        "service/routes/tie.py",
        '        raise no_session("a request by its id")',
        "        pass",
        ("tests/service/test_sessions.py::test_a_request_is_come_back_to_within_its_session_alone",),
    ),
    Mutant(
        "all sessions go to one replica",
        "service/ray_app.py",
        'f"{replica} {session}"',
        "session",
        (DEPLOYMENT + "test_a_session_stays_where_it_is_unless_its_own_replica_goes",),
    ),
    Mutant(
        "a replica is unhealthy as long as it loads",
        "service/ray_app.py",
        "        await lifecycle.until_loaded()\n",
        "",
        (DEPLOYMENT + "test_a_replica_takes_requests_once_its_models_are_there",),
    ),
    Mutant(
        "a replica on Ray is open to anybody",
        "service/ray_app.py",
        "load_settings(arguments.config, host=ANY_ADDRESS)",
        "load_settings(arguments.config)",
        (DEPLOYMENT + "test_who_may_ask_has_to_be_said_since_ray_chooses_the_address",),
    ),
    Mutant(
        "the metrics of the last replica hide all others",
        "service/ray_metrics.py",
        "families.setdefault((what, kind), []).extend(_of(replica, sample) for sample in samples)",
        "families[what, kind] = [_of(replica, sample) for sample in samples]",
        (DEPLOYMENT + "test_metrics_of_all_replicas_are_one_exposition",),
    ),
    Mutant(
        "a pod is killed before its server has drained",
        "docker/helm/tie-server/templates/deployment.yaml",
        "add .Values.deregisterSeconds .Values.drainSeconds 10",
        "add .Values.drainSeconds 10",
        (HELM + "test_a_pod_is_given_the_time_that_its_server_takes_to_drain",),
    ),
    Mutant(
        "Prometheus asks a pod by an address that it does not answer to",
        "docker/helm/tie-server/templates/_names.tpl",
        '"$(POD_IP)" ',
        "",
        (HELM + "test_the_server_accepts_what_it_is_told_for_anybody",),
    ),
    Mutant(
        "an object of the chart has a field that nobody reads",
        "docker/helm/tie-server/templates/service.yaml",
        "sessionAffinity: ClientIP",
        "sessionAffinities: ClientIP",
        (HELM + "test_every_object_is_of_its_kind_and_has_no_field_that_this_does_not_know",),
    ),
)
