# One image for every process of roomtone: Airflow's components, the DAGs' tasks, the sandbox brand.
FROM python:3.12.12-slim-bookworm

# LightGBM needs the OpenMP runtime.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*

RUN pip install --no-cache-dir uv==0.13.9

ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never \
    PATH=/opt/roomtone/.venv/bin:$PATH \
    # Airflow looks for airflow_local_settings on the path: it loads the heavy libraries once, in the scheduler.
    PYTHONPATH=/opt/roomtone/include/roomtone/airflow/config

WORKDIR /opt/roomtone

# Dependencies first: they change less often than the code.
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN uv sync --frozen --no-dev --extra postgres --no-install-project

COPY include include
COPY dbt_project dbt_project
COPY dags dags
COPY plugins plugins
RUN uv sync --frozen --no-dev --extra postgres

# dbt writes its logs and parse cache beside the project; everything else goes to the state volume.
RUN useradd --create-home --uid 10001 roomtone \
    && mkdir -p /var/lib/roomtone/airflow \
    && chown -R roomtone:roomtone /var/lib/roomtone dbt_project
USER roomtone
VOLUME /var/lib/roomtone
CMD ["airflow", "version"]
