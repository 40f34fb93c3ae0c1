"""Tables to Plotly figures and sentences: colours, layout and number formats in one place.

No Streamlit and no store in here.
"""
