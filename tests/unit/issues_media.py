"""What serving may not say of media in requests, and of engine arguments that run code by name."""

from tests.unit.case import Case

ARGUMENTS = "serving.engine.engine_kwargs"
HOSTS = "serving.media.allowed_hosts"

CASES = [
    Case(
        "serving.media.hosts-of-text-only",
        {"serving.media": {"text_only": True, "allowed_hosts": ["images.example.com"]}},
        ("serving.media.allowed_hosts: set with `text_only: true`",),
    ),
    *(
        Case("settings.wrong-format", {HOSTS: [host]}, ("allowed_hosts[0]", "without scheme, port or *"))
        for host in (
            "*.example.com",
            "https://example.com",
            "example.com:443",
            "169.254.169.254",
            "localhost",
            "metadata.google.internal",
            "llm-head-svc.serving.svc",
            "llm.serving.svc.cluster.local",
            "Example.com",
        )
    ),
    *(
        Case(
            "serving.engine.unsafe-argument",
            {ARGUMENTS: arguments},
            (f"{ARGUMENTS}.{name}: not allowed", says, f"`unsafe_arguments: [{name}]`"),
        )
        for name, arguments, says in (
            ("trust_remote_code", {"trust_remote_code": True}, "Python code"),
            ("allowed_local_media_path", {"allowed_local_media_path": "/"}, "read the files"),
            ("worker_extension_cls", {"worker_extension_cls": "a.B"}, "imports this class"),
            ("tool_parser_plugin", {"tool_parser_plugin": "/a.py"}, "runs this Python file"),
            (
                "kv_transfer_config.kv_connector_module_path",
                {"kv_transfer_config": {"kv_connector": "A", "kv_role": "kv_both", "kv_connector_module_path": "a.b"}},
                "imports this class",
            ),
        )
    ),
    Case(
        "serving.engine.unknown-unsafe-argument",
        {"serving.engine.unsafe_arguments": ["dtype"]},
        ("serving.engine.unsafe_arguments[0]: dtype needs no permission",),
    ),
]
